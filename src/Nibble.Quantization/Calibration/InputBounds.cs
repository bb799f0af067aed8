using System.Globalization;
using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Models;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// The bounds at which training learned to cut the inputs of linear layers (PACT), as a trained model's file keeps them: the
/// rounding, then "layer:bound" for each, spaces between.
/// </summary>
/// <param name="Rounding">The one that was trained with; static, one scale a layer.</param>
/// <param name="Bounds">The largest magnitude that is not cut, by layer.</param>
public sealed record InputBounds(InputRounding Rounding, IReadOnlyDictionary<string, float> Bounds)
{
    /// <summary>Of a GGUF file's metadata, or of a safetensors file's.</summary>
    public const string Key = "nibble.input_bounds";

    public string Write() =>
        string.Join(' ', Bounds.OrderBy(b => b.Key, StringComparer.Ordinal).Select(b => string.Create(CultureInfo.InvariantCulture, $"{b.Key}:{b.Value:R}")).Prepend(Rounding.Name));

    /// <param name="place">Where the text is from, for an error.</param>
    /// <exception cref="UnusableInputException">It holds no bounds.</exception>
    public static InputBounds Read(string text, string place)
    {
        string[] words = text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        InputRounding? rounding = words.Length > 0 ? InputRounding.Parse(words[0]) : null;
        if (rounding is not { Grain: InputGrain.Tensor }) throw Lie(words.FirstOrDefault(""));
        var bounds = new Dictionary<string, float>();
        foreach (string word in words.Skip(1))
        {
            int colon = word.LastIndexOf(':');
            if (colon <= 0 || !float.TryParse(word.AsSpan(colon + 1), CultureInfo.InvariantCulture, out float bound)
                || !float.IsFinite(bound) || bound <= 0 || !bounds.TryAdd(word[..colon], bound))
                throw Lie(word);
        }
        return new InputBounds(rounding, bounds);

        UnusableInputException Lie(string word) =>
            new($"{place}: {Key} has no bounds of inputs at '{(word.Length > 40 ? word[..40] : word)}'; give a calibration text, or train the model again");
    }

    /// <summary>The bounds that a model was trained with, or null.</summary>
    /// <exception cref="UnusableInputException">What the file has under the key is something else.</exception>
    public static InputBounds? Of(ModelSource model) => model.Note(Key) is { Length: > 0 } text ? Read(text, model.Path) : null;

    /// <summary>Gives every linear layer of a model the static scale that its bound makes.</summary>
    /// <returns>The layers without a bound, whose inputs stay as they are.</returns>
    public IReadOnlyList<string> Apply(DecoderModel model) => new InputRanges(Bounds.ToDictionary(b => b.Key, b => new[] { b.Value })).Apply(model, Rounding);
}
