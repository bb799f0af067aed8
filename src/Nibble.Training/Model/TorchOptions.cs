using Nibble.Core.Formats;

namespace Nibble.Training.Model;

/// <summary>What a differentiable model is made for.</summary>
internal sealed record TorchOptions
{
    /// <summary>The format that a matrix is trained for, by its name; null is none.</summary>
    public Func<string, Format?> FormatOf { get; init; } = _ => null;

    /// <summary>False for a teacher: nothing has a gradient.</summary>
    public bool Trains { get; init; }

    /// <summary>How the inputs of linear layers are rounded; null leaves them float32.</summary>
    public string? Activations { get; init; }

    /// <summary>The format that keys and values are rounded to; null leaves them float32.</summary>
    public Format? CacheFormat { get; init; }
}
