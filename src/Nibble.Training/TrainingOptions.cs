using Nibble.Core.Formats;

namespace Nibble.Training;

/// <summary>How the learning rate goes down once it has warmed up.</summary>
internal enum RateSchedule
{
    /// <summary>Half a cosine down to a tenth.</summary>
    Cosine,
    /// <summary>Stable, then over the last fifth linearly to a tenth (warm-up, stable, decay).</summary>
    Wsd,
}

/// <summary>What is learned.</summary>
internal enum TrainedPart
{
    /// <summary>Weights, norms, biases, and what their formats learn.</summary>
    All,
    /// <summary>One layer after the other, each so that its output is that of the full-precision model.</summary>
    Blocks,
    /// <summary>Scales and minimums alone, the codes fixed: the second phase of EfficientQAT (arXiv:2407.11062).</summary>
    Scales,
}

/// <summary>Everything a training run is told.</summary>
internal sealed record TrainingOptions
{
    public required string Model { get; init; }

    /// <summary>The format or recipe, as it was typed.</summary>
    public required string To { get; init; }

    public required string Output { get; init; }

    public required string Text { get; init; }

    /// <summary>The format of the head (and of an embedding tied to it); null is the recipe's.</summary>
    public Format? Head { get; init; }

    /// <summary>Updates; null trains until the time is up.</summary>
    public long? Steps { get; init; }

    /// <summary>Minutes, those before a resumption included; null is no limit.</summary>
    public double? Minutes { get; init; }

    /// <summary>Texts of one context that pass through the model together.</summary>
    public int Batch { get; init; } = 4;

    /// <summary>Batches an update.</summary>
    public int Accumulate { get; init; } = 1;

    /// <summary>Tokens a text; 0 is the model's own context, at most 512.</summary>
    public int Context { get; init; }

    public double WeightRate { get; init; } = 2e-4;

    /// <summary>For step sizes, each relative to its first value.</summary>
    public double ScaleRate { get; init; } = 1e-3;

    /// <summary>The share of the run in which the rate rises.</summary>
    public double WarmUp { get; init; } = 0.05;

    public RateSchedule Schedule { get; init; }

    /// <summary>The norm that a gradient is cut to.</summary>
    public double Clip { get; init; } = 1;

    public double WeightDecay { get; init; }

    /// <summary>The share of the loss that is the divergence from the full-precision model; the rest is cross entropy.</summary>
    public double Distill { get; init; }

    /// <summary>The weight of the hidden states' distance from the full-precision model's, relative to their size.</summary>
    public double DistillHidden { get; init; }

    public TrainedPart Train { get; init; }

    /// <summary>Whether the full-precision model must be at hand.</summary>
    public bool NeedsTeacher => Distill > 0 || DistillHidden > 0 || Train == TrainedPart.Blocks;

    /// <summary>How the inputs of linear layers are rounded, as the command line names it; null leaves them float32.</summary>
    public string? Activations { get; init; }

    public Format? CacheFormat { get; init; }

    public long Seed { get; init; } = 1;

    /// <summary>Minutes between checkpoints.</summary>
    public double CheckpointMinutes { get; init; } = 2;

    /// <summary>Updates between looks at the held-out text.</summary>
    public int EvaluateEvery { get; init; } = 20;

    /// <summary>Looks without improvement after which training stops; 0 never does.</summary>
    public int Patience { get; init; } = 6;

    public bool Resume { get; init; }

    public bool Force { get; init; }

    public int Threads { get; init; }

    /// <summary>Where the state of a run lies.</summary>
    public string Checkpoint => $"{Path.TrimEndingDirectorySeparator(Output)}.checkpoint.safetensors";

    /// <summary>What must be the same for a run to be continued.</summary>
    public IReadOnlyDictionary<string, string> Identity => new Dictionary<string, string>
    {
        ["--to"] = To.ToUpperInvariant(),
        ["--head"] = Head?.Name ?? "",
        ["--batch"] = FormattableString.Invariant($"{Batch}"),
        ["--accumulate"] = FormattableString.Invariant($"{Accumulate}"),
        ["--context"] = FormattableString.Invariant($"{Context}"),
        ["--train"] = Train.ToString(),
        ["--activations"] = Activations ?? "",
        ["--kv"] = CacheFormat?.Name ?? "",
        ["--distill"] = FormattableString.Invariant($"{Distill}"),
        ["--distill-hidden"] = FormattableString.Invariant($"{DistillHidden}"),
        ["--seed"] = FormattableString.Invariant($"{Seed}"),
    };
}
