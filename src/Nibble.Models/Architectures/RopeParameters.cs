using static System.FormattableString;

namespace Nibble.Models.Architectures;

/// <summary>
/// Rotary embeddings as Hugging Face writes them: <c>rope_parameters</c> since transformers 5, perhaps one for each type of
/// layer, and <c>rope_theta</c>, <c>rope_scaling</c> and <c>partial_rotary_factor</c> before.
/// </summary>
internal static class RopeParameters
{
    /// <param name="headSize">The numbers of a head that a partial factor is taken of.</param>
    /// <param name="context">max_position_embeddings.</param>
    /// <param name="theta">The base where none is written.</param>
    /// <param name="part">The part of a head that is rotated where none is written; null for an architecture that rotates all of it, whatever is written.</param>
    /// <param name="layerType">The entry of rope_parameters, where it has one for each type of layer.</param>
    public static RotaryConfig Read(JsonConfig config, int headSize, int context, double theta = 10000, double? part = null,
        bool interleaved = false, string? layerType = null)
    {
        JsonConfig? parameters = config.Section("rope_parameters");
        if (layerType is not null && parameters?.Section(layerType) is { } own) parameters = own;
        theta = config.Positive("rope_theta", theta);
        double rotated = config.Positive("partial_rotary_factor", part ?? 1);
        if (parameters is not null)
        {
            theta = parameters.Positive("rope_theta", theta);
            rotated = parameters.Positive("partial_rotary_factor", rotated);
        }
        if (part is null && rotated != 1)
            throw config.Error("partial_rotary_factor", Invariant($"is {rotated}, but transformers rotates all of a head of this architecture, whatever it is; where it is not 1, programs disagree"));
        int dimensions = (int)(headSize * rotated);
        if (rotated > 1 || dimensions < 2 || dimensions % 2 != 0)
            throw config.Error("partial_rotary_factor", Invariant($"is {rotated}, which rotates {dimensions} of the {headSize} numbers of a head; it must be an even number of them"));
        return new RotaryConfig
        {
            Theta = theta,
            Dimensions = dimensions,
            Interleaved = interleaved,
            Scaling = ReadScaling(config, parameters ?? config.Section("rope_scaling"), dimensions, context),
        };
    }

    private static RotaryScaling? ReadScaling(JsonConfig config, JsonConfig? scaling, int dimensions, int context)
    {
        int original = config.Count("original_max_position_embeddings", context);
        if (scaling is null) return null;
        string type = scaling.Text("rope_type") ?? scaling.Text("type") ?? "default";
        scaling.Ignore("type", "rope_type");
        original = scaling.Count("original_max_position_embeddings", original);
        return type switch
        {
            "default" => null,
            "linear" => new LinearScaling(scaling.Positive("factor")),
            "dynamic" => new DynamicScaling(scaling.Positive("factor"), context),
            "llama3" => ReadLlama3(scaling, original),
            "yarn" => ReadYarn(scaling, original, (double)context / original),
            "longrope" or "su" => ReadLongRope(scaling, dimensions, original, (double)context / original),
            _ => throw scaling.Error("rope_type", $"is '{type}'; known are default, linear, dynamic, llama3, yarn and longrope"),
        };
    }

    private static Llama3Scaling ReadLlama3(JsonConfig scaling, int original)
    {
        double low = scaling.Positive("low_freq_factor"), high = scaling.Positive("high_freq_factor");
        if (high <= low) throw scaling.Error("high_freq_factor", Invariant($"is {high}; it must be above low_freq_factor, {low}"));
        return new Llama3Scaling(scaling.Positive("factor"), low, high, original);
    }

    private static YarnScaling ReadYarn(JsonConfig scaling, int original, double ratio)
    {
        double factor = scaling.Positive("factor", ratio);
        double mscale = scaling.Number("mscale", 0), mscaleAll = scaling.Number("mscale_all_dim", 0);
        double magnitude = mscale != 0 && mscaleAll != 0
            ? YarnScaling.Sharpening(factor, mscale) / YarnScaling.Sharpening(factor, mscaleAll)
            : YarnScaling.Sharpening(factor);
        return new YarnScaling(factor, original)
        {
            BetaFast = scaling.Positive("beta_fast", 32),
            BetaSlow = scaling.Positive("beta_slow", 1),
            Truncate = scaling.Flag("truncate", true),
            Magnitude = scaling.Positive("attention_factor", magnitude),
        };
    }

    private static LongRopeScaling ReadLongRope(JsonConfig scaling, int dimensions, int original, double ratio)
    {
        double factor = scaling.Positive("factor", ratio);
        double magnitude = factor <= 1 ? 1 : Math.Sqrt(1 + Math.Log(factor) / Math.Log(original));
        return new LongRopeScaling(Divisors(scaling, "short_factor", dimensions), Divisors(scaling, "long_factor", dimensions), original)
        {
            Magnitude = scaling.Positive("attention_factor", magnitude),
        };
    }

    private static IReadOnlyList<float> Divisors(JsonConfig scaling, string key, int dimensions)
    {
        IReadOnlyList<double> divisors = scaling.Numbers(key) ?? throw scaling.Error(key, "is missing");
        if (divisors.Count != dimensions / 2 || divisors.Any(d => d <= 0))
            throw scaling.Error(key, $"has {divisors.Count} numbers; it must have {dimensions / 2} above 0, one for each rotated pair");
        return [.. divisors.Select(d => (float)d)];
    }
}
