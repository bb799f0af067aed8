using System.Globalization;
using System.Text;

namespace Nibble.Core.Formats;

/// <summary>Names with words after dashes: <c>Linear4-sym-g128</c>.</summary>
internal readonly struct FormatName(string start)
{
    private readonly StringBuilder _text = new(start);

    public void Add(string word) => _text.Append('-').Append(word);

    public override string ToString() => _text.ToString();

    /// <summary>Reads such a name from its start, whatever its case.</summary>
    public ref struct Reader(string name)
    {
        private readonly string _name = name;
        private ReadOnlySpan<char> _rest = name.ToLowerInvariant();

        /// <summary>Passes over this text if it stands here.</summary>
        public bool Takes(string text)
        {
            if (!_rest.StartsWith(text, StringComparison.Ordinal)) return false;
            _rest = _rest[text.Length..];
            return true;
        }

        /// <summary>Passes over a whole number in [least, most] if it stands here and a dash, another letter or the end follows.</summary>
        public bool TakesNumber(int least, int most, out int number)
        {
            int digits = 0;
            while (digits < _rest.Length && char.IsAsciiDigit(_rest[digits])) digits++;
            if (!int.TryParse(_rest[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out number)) return false;
            if (number < least || number > most) return false;
            _rest = _rest[digits..];
            return true;
        }

        /// <summary>Passes over <c>-b1.5</c>, the base of a logarithm above 1 and at most 16, if it stands here.</summary>
        public bool TakesBase(out double toBase)
        {
            toBase = 0;
            if (!_rest.StartsWith("-b")) return false;
            int end = _rest[1..].IndexOf('-');
            ReadOnlySpan<char> digits = end < 0 ? _rest[2..] : _rest[2..(end + 1)];
            if (!double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out toBase) || toBase is not (> 1 and <= 16))
                return false;
            _rest = end < 0 ? default : _rest[(end + 1)..];
            return true;
        }

        /// <summary>The next word after a dash; false at the end.</summary>
        public bool Next(out ReadOnlySpan<char> word)
        {
            word = default;
            if (_rest.IsEmpty) return false;
            if (_rest[0] != '-') throw new UnusableInputException($"there is no format '{_name}': '{_rest}' should begin with a dash");
            int end = _rest[1..].IndexOf('-');
            word = end < 0 ? _rest[1..] : _rest.Slice(1, end);
            _rest = end < 0 ? default : _rest[(end + 1)..];
            return true;
        }

        /// <summary>The error of a word that means nothing here.</summary>
        public readonly UnusableInputException Unknown(ReadOnlySpan<char> word, string known) =>
            new($"there is no format '{_name}': '{word}' is none of {known}");

        /// <summary>Constructs the format; choices that do not go together become one line for a person.</summary>
        public readonly TFormat Make<TFormat>(Func<TFormat> construct)
        {
            try
            {
                return construct();
            }
            catch (ArgumentException e)
            {
                string reason = e.Message.Split(" (Parameter")[0];
                throw new UnusableInputException($"there is no format '{_name}': {reason}", e);
            }
        }
    }
}
