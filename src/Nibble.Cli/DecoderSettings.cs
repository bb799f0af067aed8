using System.CommandLine;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Evaluation;

namespace Nibble.Cli;

/// <summary>The options of every verb that runs a model: how activations are rounded and how the cache is stored.</summary>
internal sealed class DecoderSettings
{
    private const string Rotated = "+hadamard";
    private const int CalibrationChunks = 16, LongestContext = 512;

    /// <summary>Formats that are quick to write, a row at a time.</summary>
    private static readonly string[] CacheFormats = ["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "IQ4_NL", "Q4_1", "Q4_0"];

    private readonly Option<string?> _activations = new("--activations")
    {
        Description = "How the inputs of linear layers are rounded: float (not at all), bfloat16, mixed (int8-g32, but where the processor multiplies bfloat16 attention over prompts is in pairs of it, and products with 128 tokens or more in matrices of it), int8 or int4 (one scale a token), int8-g32 (one for 32 columns; any group), "
            + "int8-tensor or int8-channel (static: one, or one a column, found on the --calibration text; without it those that the model was trained with). Products that no integer kernel "
            + "does are computed in float32 from the rounded numbers. [default: int8-g32 where the weight has an integer kernel, else float; run and bench take bfloat16 for F16 and BF16 where the processor multiplies pairs of it, and mixed for the others]",
        HelpName = "KIND",
    };
    private readonly Option<string?> _calibration = new("--calibration") { Description = "The text that static scales are found on.", HelpName = "TEXT" };
    private readonly Option<string?> _cache = new("--kv")
    {
        Description = $"The format of cached keys and values: {string.Join(", ", CacheFormats).ToLowerInvariant()}; with {Rotated} after it they are stored rotated. [default: f32; run and bench take f16 where the processor has AVX-512]",
        HelpName = "FORMAT",
    };

    public Option[] Options => [_activations, _calibration, _cache];

    /// <exception cref="UnusableInputException">A value is none of those that are possible.</exception>
    /// <param name="fast">See <see cref="DecoderOptions.Fast"/>.</param>
    public DecoderOptions Read(Invocation run, bool fast = false)
    {
        InputRounding? rounding = run.Get(_activations) is { } kind ? InputRounding.Parse(kind) : null;
        if (rounding is not { IsStatic: true } && run.Get(_calibration) is not null)
            throw new UnusableInputException("--calibration: only --activations int8-tensor, int8-channel and their int4 kin look at a text; leave it out");
        (Format? format, bool rotate) = run.Get(_cache) is { } cache ? Cache(cache) : default;
        return new DecoderOptions { Warn = run.Terminal.Warn, InputRounding = rounding, Fast = fast, CacheFormat = format, RotateCache = rotate };
    }

    private static (Format Format, bool Rotate) Cache(string name)
    {
        bool rotate = name.EndsWith(Rotated, StringComparison.OrdinalIgnoreCase);
        string format = rotate ? name[..^Rotated.Length] : name;
        return CacheFormats.Contains(format, StringComparer.OrdinalIgnoreCase) ? (Format.Parse(format), rotate)
            : throw new UnusableInputException($"--kv {name}: the cache can be {string.Join(", ", CacheFormats).ToLowerInvariant()}, each with or without {Rotated}");
    }

    /// <summary>Finds static scales, where they are asked for.</summary>
    public void Calibrate(Invocation run, DecoderModel model, ModelSource source, DecoderOptions options)
    {
        if (options.InputRounding is not { IsStatic: true } rounding) return;
        if (run.Get(_calibration) is null)
        {
            TakeTrained(run, model, source, rounding);
            return;
        }
        var tokenizer = Tokenizer.Of(source);
        string path = run.Get(_calibration)!, text = TextFile.Read(path, "--calibration");
        var chunks = EvaluationText.Of(text, tokenizer, Math.Min(LongestContext, model.Config.ContextLength), CalibrationChunks, path, mayShorten: false);
        InputRanges ranges = InputRanges.Measure(model, [.. Enumerable.Range(0, chunks.Chunks).Select(chunks.Chunk)], run.Cancellation);
        IReadOnlyList<string> unknown = ranges.Apply(model, rounding);
        if (unknown.Count > 0)
            run.Terminal.Warn($"{unknown.Count} layers were reached by no token of the calibration text, and their inputs stay float32: {unknown[0]}, ...");
    }

    /// <summary>Rounds as the model was trained to bear, by the bounds in its file.</summary>
    private static void TakeTrained(Invocation run, DecoderModel model, ModelSource source, InputRounding rounding)
    {
        InputBounds bounds = InputBounds.Of(source)
            ?? throw new UnusableInputException($"--activations {rounding.Name}: its scales must be found on a text, for the model was not trained with any; give --calibration TEXT");
        if (bounds.Rounding.Name != rounding.Name)
            throw new UnusableInputException($"--activations {rounding.Name}: {source.Path} was trained with {bounds.Rounding.Name}; ask for that, or give --calibration TEXT");
        IReadOnlyList<string> unknown = bounds.Apply(model);
        if (unknown.Count > 0) run.Terminal.Warn($"{unknown.Count} layers have no bound in {source.Path}, and their inputs stay float32: {unknown[0]}, ...");
    }

    /// <summary>What a run used, for its report: <c>int8-token</c>, or null where the kernels chose.</summary>
    public static string? NameOfActivations(DecoderOptions options) => options.InputRounding?.Name;

    /// <summary>
    /// The same, where the kernels of a model may have been left to choose the fastest: <c>bfloat16</c> or <c>mixed</c> if some did,
    /// of linear layers or of attention.
    /// </summary>
    public static string? NameOfActivations(DecoderOptions options, DecoderModel model) =>
        NameOfActivations(options) ?? (model.LinearsAndHead.FirstOrDefault(l => l.InputRounding is not null)?.InputRounding ?? OfAttention(options))?.Name;

    private static InputRounding? OfAttention(DecoderOptions options) =>
        options.RoundsAttention && KeyValueRows.MayHavePairs(options.FormatOfCache) ? InputRounding.Mixed : null;

    public static string NameOfCache(DecoderOptions options) => options.FormatOfCache.Name + (options.RotateCache ? Rotated : "");
}
