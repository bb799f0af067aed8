using System.Globalization;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>What of the input of a linear layer shares a scale.</summary>
public enum InputGrain
{
    /// <summary>So many neighbouring columns of one token; the scale is taken from the numbers at hand (dynamic).</summary>
    Group,
    /// <summary>All columns of one token; dynamic.</summary>
    Token,
    /// <summary>Everything the layer ever reads; the scale was found on a text before (static).</summary>
    Tensor,
    /// <summary>One column of all tokens; static.</summary>
    Channel,
}

/// <summary>
/// How the inputs of linear layers are rounded: to whole numbers of some bits times a scale, symmetric about zero, the
/// largest magnitude becoming the largest code (127 for 8 bits, 7 for 4); or not at all.
/// </summary>
/// <remarks>
/// A weight with an integer form is multiplied by the integers themselves, unless a scale changes within 32 columns; all
/// else is computed in float32 from the rounded numbers, which is the same but for the order of additions.
/// </remarks>
public sealed record InputRounding
{
    private const int MaxGroup = 1 << 20;

    private InputRounding(int bits, InputGrain grain, int group = 0) => (Bits, Grain, Group) = (bits, grain, group);

    /// <summary>Inputs stay float32, and every product is computed in float32, whatever the weight's format.</summary>
    public static InputRounding None { get; } = new(0, InputGrain.Token);

    /// <summary>
    /// To bfloat16, the nearest: a relative error of 1/256 at most. Products are summed in float32, for weights of 16 bits by an
    /// instruction that multiplies pairs, where the processor has it.
    /// </summary>
    public static InputRounding BFloat16 { get; } = new(16, InputGrain.Token);

    /// <summary>What the integer kernels do by themselves: 8 bits, 32 columns a scale.</summary>
    public static InputRounding Integer { get; } = new(8, InputGrain.Group, Activation.Chunk);

    /// <summary>
    /// <see cref="Integer"/>, but <see cref="PairKernel.ManyPacked"/> tokens or more are rounded to bfloat16, and the weights they meet too, where the
    /// processor multiplies matrices of it (<see cref="AmxPairs"/>), and attention over many tokens is, where it multiplies pairs (<see cref="AttentionInput.MayRound"/>).
    /// </summary>
    public static InputRounding Mixed { get; } = Integer with { IsMixed = true };

    /// <summary>The one with which many tokens are multiplied fastest, where it costs next to nothing; null leaves it to the kernels.</summary>
    public static InputRounding? Fastest(Weight weight) =>
        PairKernel.Handles(weight, tokens: 2) ? BFloat16 : PairKernel.HandlesPacked(weight, PairKernel.ManyPacked) ? Mixed : null;

    /// <summary>8, 4, 16 for bfloat16, or 0 for float32.</summary>
    public int Bits { get; }

    public InputGrain Grain { get; }

    /// <summary>Columns that share a scale, where <see cref="Grain"/> is a group.</summary>
    public int Group { get; }

    /// <summary>The static scales: one, or one a column; empty where they are dynamic or not known yet.</summary>
    public ReadOnlyMemory<float> Scales { get; init; }

    /// <summary>Whether a product of a weight with so many tokens is one of pairs of bfloat16 here.</summary>
    public bool MakesPairs(Weight weight, int tokens) => IsMixed ? PairKernel.HandlesPacked(weight, tokens) : this == BFloat16 && PairKernel.Handles(weight, tokens);

    /// <summary>True of <see cref="Mixed"/>.</summary>
    internal bool IsMixed { get; private init; }

    /// <summary>True if the scales must be found on a text before anything can be rounded.</summary>
    public bool IsStatic => Grain is InputGrain.Tensor or InputGrain.Channel;

    /// <summary>The largest code; the smallest is its negative.</summary>
    public int LargestCode => (1 << (Bits - 1)) - 1;

    /// <summary>True if the integer kernels can take the codes: no scale changes within a chunk of columns.</summary>
    public bool HasCodes => Bits is 8 or 4 && Grain != InputGrain.Channel && (Grain != InputGrain.Group || Group % Activation.Chunk == 0);

    /// <summary>The same for inputs whose column i is this input's column order[i].</summary>
    internal InputRounding InOrder(int[] order) =>
        Grain == InputGrain.Channel && Scales.Length == order.Length ? this with { Scales = Array.ConvertAll(order, i => Scales.Span[i]) } : this;

    /// <summary>As the command line names it: <c>int8-token</c>, <c>int4-g32</c>, <c>float</c>.</summary>
    public string Name => IsMixed ? "mixed" : Bits == 0 ? "float" : Bits == 16 ? "bfloat16" : string.Create(CultureInfo.InvariantCulture, $"int{Bits}-{GrainName}");

    private string GrainName => Grain == InputGrain.Group ? string.Create(CultureInfo.InvariantCulture, $"g{Group}") : Grain.ToString().ToLowerInvariant();

    /// <summary>Reads a name; <c>int8</c> and <c>int4</c> alone are per token.</summary>
    /// <exception cref="UnusableInputException">There is no such rounding.</exception>
    public static InputRounding Parse(string name)
    {
        string[] parts = name.ToLowerInvariant().Split('-');
        if (parts is ["float"]) return None;
        if (parts is ["bfloat16"]) return BFloat16;
        if (parts is ["mixed"]) return Mixed;
        int bits = parts[0] switch { "int8" => 8, "int4" => 4, _ => 0 };
        InputRounding? rounding = (bits, parts.Length) switch
        {
            ( > 0, 1) => new InputRounding(bits, InputGrain.Token),
            ( > 0, 2) => OfGrain(bits, parts[1]),
            _ => null,
        };
        return rounding ?? throw new UnusableInputException(
            $"there is no rounding of activations called '{name}'; give float, bfloat16, mixed, or int8 or int4, alone or with -token, -g32 (any group), -tensor or -channel");
    }

    private static InputRounding? OfGrain(int bits, string grain) => grain switch
    {
        "token" => new InputRounding(bits, InputGrain.Token),
        "tensor" => new InputRounding(bits, InputGrain.Tensor),
        "channel" => new InputRounding(bits, InputGrain.Channel),
        ['g', .. string size] when int.TryParse(size, NumberStyles.None, CultureInfo.InvariantCulture, out int group) && group is > 0 and <= MaxGroup =>
            new InputRounding(bits, InputGrain.Group, group),
        _ => null,
    };

    /// <summary>The same with scales that make the largest magnitudes seen the largest codes.</summary>
    /// <param name="largest">Of each column, whatever its sign.</param>
    public InputRounding WithLargest(ReadOnlySpan<float> largest)
    {
        var scales = new float[Grain == InputGrain.Channel ? largest.Length : 1];
        for (int c = 0; c < largest.Length; c++)
        {
            ref float scale = ref scales[Grain == InputGrain.Channel ? c : 0];
            scale = Math.Max(scale, Math.Abs(largest[c]) / LargestCode);
        }
        return this with { Scales = scales };
    }
}
