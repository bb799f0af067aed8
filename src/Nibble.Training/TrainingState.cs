using Nibble.Quantization.Reports;

namespace Nibble.Training;

/// <summary>How far a run is; with the tensors all that a resumed run must know.</summary>
internal sealed record TrainingState
{
    /// <summary>Updates done.</summary>
    public long Step { get; init; }

    /// <summary>Seconds of training, over all resumptions.</summary>
    public double Seconds { get; init; }

    /// <summary>The least loss on the held-out text.</summary>
    public double Best { get; init; } = double.PositiveInfinity;

    public long BestStep { get; init; }

    /// <summary>Looks at the held-out text since the best.</summary>
    public int Stale { get; init; }

    /// <summary>The loss on the held-out text before training.</summary>
    public double First { get; init; } = double.NaN;

    /// <summary>The sum of the losses since the last look.</summary>
    public double LossSum { get; init; }

    /// <summary>Every look at the held-out text.</summary>
    public IReadOnlyList<LossPoint> Curve { get; init; } = [];
}
