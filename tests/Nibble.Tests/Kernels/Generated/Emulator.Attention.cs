using System.Runtime.InteropServices;
using Iced.Intel;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>Attention, gated units, and the instructions that only they use.</summary>
internal sealed unsafe partial class Emulator
{
    [ThreadStatic] private static (Instruction[] Code, bool Windows) t_scores, t_sums, t_softmax, t_weights, t_halves, t_pairsOf, t_gate;

    /// <summary>The generated products of attention over few rows, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static WideAttention Attention(StoredShape shape, bool windows)
    {
        t_scores = (Decode(WideAttentionCode.Scores(shape, windows)), windows);
        t_sums = (Decode(WideAttentionCode.Sums(shape, windows)), windows);
        return new WideAttention(
            shape, (nint)(delegate* unmanaged<WideAttention.Arguments*, void>)&CallScores, (nint)(delegate* unmanaged<WideAttention.Arguments*, void>)&CallSums);
    }

    [UnmanagedCallersOnly]
    private static void CallScores(WideAttention.Arguments* arguments) => Call(t_scores, arguments);

    [UnmanagedCallersOnly]
    private static void CallSums(WideAttention.Arguments* arguments) => Call(t_sums, arguments);

    /// <summary>The generated softmax, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static WideSoftmax Softmax(bool windows)
    {
        t_softmax = (Decode(WideSoftmaxCode.Assemble(windows)), windows);
        return new WideSoftmax((nint)(delegate* unmanaged<WideSoftmax.Arguments*, void>)&CallSoftmax);
    }

    [UnmanagedCallersOnly]
    private static void CallSoftmax(WideSoftmax.Arguments* arguments) => Call(t_softmax, arguments);

    /// <summary>The generated softmax of many rows, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static WideWeights Weights(bool windows)
    {
        t_weights = (Decode(WideWeightsCode.Assemble(windows)), windows);
        return new WideWeights((nint)(delegate* unmanaged<WideWeights.Arguments*, void>)&CallWeights);
    }

    [UnmanagedCallersOnly]
    private static void CallWeights(WideWeights.Arguments* arguments) => Call(t_weights, arguments);

    /// <summary>The generated widening, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static HalfNumbers Halves(bool wide, bool windows)
    {
        t_halves = (Decode(HalfNumbersCode.Assemble(wide, windows)), windows);
        return new HalfNumbers((nint)(delegate* unmanaged<HalfNumbers.Arguments*, void>)&CallHalves, HalfNumbersCode.Lanes(wide));
    }

    [UnmanagedCallersOnly]
    private static void CallHalves(HalfNumbers.Arguments* arguments) => Call(t_halves, arguments);

    /// <summary>The generated making of pairs, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static NumberPairs PairsOf(bool halves, bool windows)
    {
        t_pairsOf = (Decode(NumberPairsCode.Assemble(halves, windows)), windows);
        return new NumberPairs((nint)(delegate* unmanaged<NumberPairs.Arguments*, void>)&CallPairsOf, halves);
    }

    [UnmanagedCallersOnly]
    private static void CallPairsOf(NumberPairs.Arguments* arguments) => Call(t_pairsOf, arguments);

    /// <summary>The generated gated unit, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static WideGate Gate(Nonlinearity f, bool hasUp, bool windows)
    {
        t_gate = (Decode(WideGateCode.Assemble(f, hasUp, windows)), windows);
        return new WideGate((nint)(delegate* unmanaged<WideGate.Arguments*, void>)&CallGate);
    }

    [UnmanagedCallersOnly]
    private static void CallGate(WideGate.Arguments* arguments) => Call(t_gate, arguments);

    /// <summary>Numbers as bfloat16: what is subnormal counts as zero, and what is no number stays none.</summary>
    private static void RoundToPairs(Span<ushort> target, Span<uint> lower, Span<uint> upper)
    {
        uint[] numbers = [.. lower, .. upper];
        for (int k = 0; k < numbers.Length; k++)
        {
            uint bits = numbers[k], size = bits & 0x7FFFFFFF;
            target[k] = (ushort)(size switch
            {
                < 0x00800000 => bits >> 16 & 0x8000,
                > 0x7F800000 => bits >> 16 | 0x40,
                _ => bits + 0x7FFF + (bits >> 16 & 1) >> 16,
            });
        }
    }

    /// <summary>What an instruction writes to memory: a register, or a part of it.</summary>
    private Span<uint> Stored(in Instruction i)
    {
        Span<uint> from = Vector(i.Op1Register);
        return i.Mnemonic switch
        {
            Mnemonic.Vmovups => from[..(i.Op1Register.GetSize() / 4)],
            Mnemonic.Vmovss => from[..1],
            Mnemonic.Vextractf32x4 => from.Slice(i.Immediate8 * 4, 4),
            Mnemonic.Vextractf64x4 => from.Slice(i.Immediate8 * 8, 8),
            _ => throw new NotSupportedException($"{i}"),
        };
    }

    /// <summary>Numbers of two registers in turns, within quarters; or two quarters of the one, then two of the other.</summary>
    private static void Interleave(in Instruction i, Span<uint> target, Span<uint> a, Span<uint> b)
    {
        uint[] first = [.. a], second = [.. b];
        for (int lane = 0; lane < Lanes; lane++)
        {
            int quarter = lane / 4 * 4;
            target[lane] = i.Mnemonic switch
            {
                Mnemonic.Vshuff32x4 => (lane < Lanes / 2 ? first : second)[(i.Immediate8 >> lane / 4 * 2 & 3) * 4 + lane % 4],
                Mnemonic.Vunpcklpd or Mnemonic.Vunpckhpd => (lane % 4 < 2 ? first : second)[quarter + lane % 2 + (i.Mnemonic == Mnemonic.Vunpckhpd ? 2 : 0)],
                _ => (lane % 2 == 0 ? first : second)[quarter + lane % 4 / 2 + (i.Mnemonic == Mnemonic.Vunpckhps ? 2 : 0)],
            };
        }
    }
}
