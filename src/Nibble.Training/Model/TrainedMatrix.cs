using Nibble.Core.Memory;
using Nibble.Models;
using Nibble.Training.Quantizers;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>A matrix of the model: its float32 weights, and what its format makes of them.</summary>
internal sealed class TrainedMatrix : IDisposable
{
    private readonly WeightQuantizer? _quantizer;

    /// <param name="source">One matrix; experts are refused before.</param>
    /// <param name="format">The format it is trained for; null keeps it as it is.</param>
    /// <param name="trains">False for a teacher.</param>
    public TrainedMatrix(ModelTensor source, Core.Formats.Format? format, bool trains)
    {
        Source = source;
        Weight stored = source.Load();
        var values = new float[(long)stored.Rows * stored.Columns];
        Parallel.For(0, stored.Rows, row => stored.ReadRow(row, values.AsSpan(row * stored.Columns, stored.Columns)));
        Values = tensor(values, [stored.Rows, stored.Columns], requires_grad: trains).DetachFromDisposeScope();
        if (format is not null) _quantizer = WeightQuantizer.Of(format, Values);
    }

    public ModelTensor Source { get; }

    public string Name => Source.Name;

    public Core.Formats.Format? Format => _quantizer?.Format;

    /// <summary>[rows, columns], before quantization.</summary>
    public Tensor Values { get; }

    /// <summary>True once the codes are fixed and only scales are learned.</summary>
    public bool CodesAreFixed { get; private set; }

    public IEnumerable<Trainable> Trainables =>
    [
        .. CodesAreFixed || !Values.requires_grad ? Array.Empty<Trainable>() : [new Trainable(Name, Values, TrainableKind.Weight)],
        .. (_quantizer?.Learned ?? []).Select(learned => learned with { Name = $"{Name}.{learned.Name}" }),
    ];

    /// <summary>The matrix as the forward pass sees it.</summary>
    public Tensor Forward() => _quantizer?.Forward(Values) ?? Values;

    /// <summary>The bytes that mean exactly what <see cref="Forward"/> gives, in its format, or float32.</summary>
    public Weight Encode()
    {
        if (_quantizer is not null) return _quantizer.Encode(Name, Values);
        var rows = new FloatMatrix(Values);
        Weight plain = Weight.Allocate(Name, Core.Formats.FloatFormat.F32, rows.Rows, rows.Columns);
        for (int row = 0; row < rows.Rows; row++) plain.Format.Encode(rows.Row(row), default, plain.Row(row));
        return plain;
    }

    /// <summary>Fixes the codes at those of the present weights.</summary>
    public void FixCodes()
    {
        _quantizer?.FixCodes(Values);
        CodesAreFixed = true;
    }

    public void Dispose()
    {
        Values.Dispose();
        _quantizer?.Dispose();
    }
}
