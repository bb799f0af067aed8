namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>What becomes of the delimiters that a text is cut at.</summary>
public enum Delimiters
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,

    /// <summary>Isolated, but neighbouring delimiters stay together.</summary>
    Contiguous,
}

/// <summary>Cuts at delimiters that are reported from left to right.</summary>
internal struct Cut(ReadOnlyMemory<char> text, Delimiters delimiters, bool invert, List<ReadOnlyMemory<char>> pieces)
{
    private int _start, _end;          // the piece that may still grow
    private int _seen;                 // everything before is in a piece
    private bool _lastIsDelimiter;

    /// <summary>The next match; what lies between it and the one before is the opposite of a match.</summary>
    public void Match(int start, int end)
    {
        if (start > _seen) Add(_seen, start, invert);
        if (end > start) Add(start, end, !invert);
        _seen = Math.Max(_seen, end);
    }

    public void Finish()
    {
        if (_seen < text.Length) Add(_seen, text.Length, invert);
        Emit();
    }

    private void Add(int start, int end, bool delimiter)
    {
        bool grows = delimiters switch
        {
            Delimiters.Contiguous => delimiter == _lastIsDelimiter,
            Delimiters.MergedWithPrevious => delimiter && !_lastIsDelimiter,
            Delimiters.MergedWithNext => !delimiter && _lastIsDelimiter,
            _ => false,
        };
        _lastIsDelimiter = delimiter;
        if (grows && _end > _start)
        {
            _end = end;
            return;
        }
        Emit();
        (_start, _end) = delimiter && delimiters == Delimiters.Removed ? (end, end) : (start, end);
    }

    private void Emit()
    {
        if (_end > _start) pieces.Add(text[_start.._end]);
        _start = _end;
    }
}
