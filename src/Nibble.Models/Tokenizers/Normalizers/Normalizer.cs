namespace Nibble.Models.Tokenizers.Normalizers;

/// <summary>Rewrites text before it is cut into pieces.</summary>
public abstract class Normalizer
{
    public abstract string Apply(string text);
}

/// <summary>One after the other.</summary>
public sealed class NormalizerSequence(IReadOnlyList<Normalizer> steps) : Normalizer
{
    public override string Apply(string text)
    {
        foreach (Normalizer step in steps) text = step.Apply(text);
        return text;
    }
}

/// <summary>Puts a string before text that is not empty.</summary>
public sealed class Prepend(string prefix) : Normalizer
{
    public override string Apply(string text) => text.Length == 0 ? text : prefix + text;
}

/// <summary>Replaces a string wherever it occurs.</summary>
public sealed class Replace(string old, string replacement) : Normalizer
{
    public override string Apply(string text) => old.Length == 0 ? text : text.Replace(old, replacement, StringComparison.Ordinal);
}
