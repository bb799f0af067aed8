using Nibble.Cli.Commands;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;

namespace Nibble.Cli;

/// <summary>
/// The folder of <c>--statistics</c>: what is measured of the original model stays there, and later runs on the same text take it
/// from there. Prices serve every budget; second moments serve every method and recipe in one pass.
/// </summary>
internal sealed class SavedStatistics
{
    private const string MomentsName = "moments.gguf", PricesName = "prices.gguf";

    private readonly string _folder, _text;
    private MomentsFile? _moments;
    private PriceFile? _prices;
    private int _measured;

    private SavedStatistics(string folder, string text) => (_folder, _text) = (folder, text);

    /// <summary>What the option names, or null if it is not given.</summary>
    /// <param name="text">That is calibrated on.</param>
    /// <param name="isUsed">Whether this run measures anything of the original model.</param>
    /// <exception cref="UnusableInputException">There is nothing to keep, or no such folder can be made.</exception>
    public static SavedStatistics? Of(string? folder, string? text, CalibratedMethod? method, bool isUsed)
    {
        if (folder is null) return null;
        if (method is null || text is null) throw new UnusableInputException("--statistics: keeps what is measured on a text; give --calibration TEXT");
        if (!isUsed)
            throw new UnusableInputException($"--statistics: {method.Name} looks at what the quantized layers before each produce, which serves no other run; add --one-pass, or spend a budget (--size, --bits)");
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnusableInputException($"{folder}: no such folder can be made: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        return new SavedStatistics(folder, text);
    }

    private string MomentsPath => Path.Combine(_folder, MomentsName);

    /// <summary>Whether the moments are there already.</summary>
    public bool HasMoments => File.Exists(MomentsPath);

    /// <summary>The prices that are there, if any, of some chunks of the text.</summary>
    public PriceFile Prices(QuantizationSource source, int chunks) =>
        _prices = new PriceFile(Path.Combine(_folder, PricesName), source.StatisticsKey(_text, chunks));

    /// <summary>The moments on some chunks of the text, measured now unless they are there. To be disposed.</summary>
    public MomentsFile Moments(QuantizationSource source, int chunks, WorkerPool pool, Invocation run)
    {
        StatisticsKey key = source.StatisticsKey(_text, chunks);
        if (!HasMoments)
            _measured = run.Terminal.Measure("measuring inputs", source.Layers, "layers", meter =>
                source.MeasureMoments(MomentsPath, key, _text, pool, done => meter.Done = done, run.Cancellation));
        return _moments = new MomentsFile(MomentsPath, key);
    }

    /// <summary>What was taken and what was added.</summary>
    public StatisticsUse Use => new(_folder, Math.Max(0, (_moments?.Taken ?? 0) - _measured), _measured, _prices?.Taken ?? 0, _prices?.Added ?? 0);
}

/// <summary>What a run took from a folder of statistics, and what it added.</summary>
internal sealed record StatisticsUse(string Folder, int MomentsReused, int MomentsMeasured, int PricesReused, int PricesMeasured)
{
    public override string ToString() => $"{Folder}: "
        + string.Join("; ", new[] { Said("second moments", MomentsReused, MomentsMeasured), Said("prices", PricesReused, PricesMeasured) }.OfType<string>());

    private static string? Said(string what, int reused, int measured) => reused + measured == 0 ? null : $"{reused} {what} reused, {measured} measured";
}
