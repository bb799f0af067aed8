namespace Nibble.Training;

/// <summary>The learning rate over a run: it rises linearly, then falls as the schedule says, to a tenth.</summary>
internal static class LearningRate
{
    private const double Last = 0.1;

    /// <summary>Where the decay of <see cref="RateSchedule.Wsd"/> begins.</summary>
    private const double DecayStart = 0.8;

    /// <summary>What multiplies the peak rate.</summary>
    /// <param name="progress">The share of the run that is done, 0 to 1.</param>
    /// <param name="warmUp">The share in which the rate rises.</param>
    public static double Factor(double progress, double warmUp, RateSchedule schedule)
    {
        if (progress < warmUp) return Math.Max(progress / warmUp, 0.01);
        double fallen = schedule == RateSchedule.Cosine
            ? (1 - Math.Cos(Math.PI * Math.Min(1, (progress - warmUp) / (1 - warmUp)))) / 2
            : Math.Clamp((progress - DecayStart) / (1 - DecayStart), 0, 1);
        return 1 - fallen * (1 - Last);
    }
}
