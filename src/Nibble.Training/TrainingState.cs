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
}

/// <summary>A point of the loss curve.</summary>
/// <param name="Loss">The mean since the point before.</param>
/// <param name="HeldOut">On the held-out text.</param>
internal sealed record LossPoint(long Step, double Seconds, double Loss, double HeldOut);
