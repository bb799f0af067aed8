using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideSoftmax"/>.</summary>
/// <remarks>
/// e to numbers that are at most 0 as <see cref="Exponential"/> computes it, after Cephes (Moshier): 2 to a whole number, times a
/// polynomial of the rest. What is no number stays none: of two operands the instruction for the larger one takes the second then.
/// </remarks>
internal sealed class WideSoftmaxCode
{
    private const int Line = 64, Vectors = Attention.KeyBlock / WideAttention.Lanes;

    /// <summary>2 to its power is 0, in singles.</summary>
    private const float Lowest = -200;

    private static readonly float[] s_polynomial = [Exponential.P5, Exponential.P4, Exponential.P3, Exponential.P2, Exponential.P1, Exponential.P0];

    // rcx or rdi brings the arguments; rcx counts rows then.
    private static readonly AssemblerRegister64 s_scores = rax, s_largest = rdx, s_total = r8, s_shrink = r9;

    private readonly Assembler _ = new(64);
    private readonly Queue<AssemblerRegisterZMM> _free = new(VectorRegisters.All);
    private readonly AssemblerRegisterZMM[] _weights, _polynomial;
    private readonly AssemblerRegisterZMM _most, _before, _whole, _rest, _product, _lowest, _bitsOfE, _firstLn2, _secondLn2, _one;

    private WideSoftmaxCode()
    {
        _weights = [.. Enumerable.Range(0, Vectors).Select(_ => _free.Dequeue())];
        (_most, _before, _whole, _rest, _product) = (_free.Dequeue(), _free.Dequeue(), _free.Dequeue(), _free.Dequeue(), _free.Dequeue());
        (_lowest, _bitsOfE, _firstLn2, _secondLn2, _one) = (_free.Dequeue(), _free.Dequeue(), _free.Dequeue(), _free.Dequeue(), _free.Dequeue());
        _polynomial = [.. s_polynomial.Select(_ => _free.Dequeue())];
    }

    private int Used => VectorRegisters.All.Length - _free.Count;

    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool windows)
    {
        var code = new WideSoftmaxCode();
        code.Assemble(code._, windows);
        return code._.ToBytes();
    }

    private void Assemble(Assembler code, bool windows)
    {
        if (!windows) code.mov(rcx, rdi);
        VectorRegisters.Save(code, Used, windows);
        HoldConstants();
        Take(s_scores, nameof(WideSoftmax.Arguments.Scores));
        Take(s_largest, nameof(WideSoftmax.Arguments.Largest));
        Take(s_total, nameof(WideSoftmax.Arguments.Total));
        Take(s_shrink, nameof(WideSoftmax.Arguments.Shrink));
        Take(rcx, nameof(WideSoftmax.Arguments.Rows));
        Label row = code.CreateLabel();
        code.Label(ref row);
        FindLargest();
        Weigh();
        AddToTotal();
        code.add(s_scores, Vectors * Line);
        foreach (AssemblerRegister64 number in (AssemblerRegister64[])[s_largest, s_total, s_shrink]) code.add(number, sizeof(float));
        code.dec(rcx);
        code.jne(row);
        code.vzeroupper();
        VectorRegisters.Restore(code, Used, windows);
        code.ret();

        void Take(AssemblerRegister64 target, string field) => code.mov(target, __qword_ptr[rcx + (int)Marshal.OffsetOf<WideSoftmax.Arguments>(field)]);
    }

    private void HoldConstants()
    {
        Hold(_lowest, Lowest);
        Hold(_bitsOfE, Exponential.BitsOfE);
        Hold(_firstLn2, Exponential.FirstLn2);
        Hold(_secondLn2, Exponential.SecondLn2);
        Hold(_one, 1);
        for (int i = 0; i < _polynomial.Length; i++) Hold(_polynomial[i], s_polynomial[i]);

        void Hold(AssemblerRegisterZMM target, float number)
        {
            _.mov(eax, BitConverter.SingleToInt32Bits(number));
            _.vpbroadcastd(target, eax);
        }
    }

    /// <summary>In all lanes: the largest before, and with this row.</summary>
    private void FindLargest()
    {
        _.vbroadcastss(_before, __dword_ptr[s_largest]);
        _.vmovaps(_most, _before);
        for (int v = 0; v < Vectors; v++)
        {
            _.vmovups(_weights[v], __[s_scores + v * Line]);
            _.vmaxps(_most, _most, _weights[v]);
        }
        Across(_.vmaxps, _most);
        _.vmovss(__dword_ptr[s_largest], Xmm(_most));
    }

    /// <summary>Combines all lanes, and leaves the result in all.</summary>
    private void Across(Action<AssemblerRegisterZMM, AssemblerRegisterZMM, AssemblerRegisterZMM> combine, AssemblerRegisterZMM lanes)
    {
        // The other half; the other quarter; the other two lanes; the other lane.
        _.vshuff32x4(_rest, lanes, lanes, 0x4E);
        combine(lanes, lanes, _rest);
        _.vshuff32x4(_rest, lanes, lanes, 0xB1);
        combine(lanes, lanes, _rest);
        _.vpermilps(_rest, lanes, 0x4E);
        combine(lanes, lanes, _rest);
        _.vpermilps(_rest, lanes, 0xB1);
        combine(lanes, lanes, _rest);
    }

    /// <summary>Weights, and what shrinks what came before.</summary>
    private void Weigh()
    {
        _.vsubps(_before, _before, _most);
        Exponentiate(_before);
        _.vmovss(__dword_ptr[s_shrink], Xmm(_before));
        for (int v = 0; v < Vectors; v++)
        {
            _.vsubps(_weights[v], _weights[v], _most);
            Exponentiate(_weights[v]);
            _.vmovups(__[s_scores + v * Line], _weights[v]);
        }
    }

    private void Exponentiate(AssemblerRegisterZMM x)
    {
        _.vmaxps(x, _lowest, x);
        _.vmulps(_whole, x, _bitsOfE);
        _.vrndscaleps(_whole, _whole, 0);
        _.vfnmadd231ps(x, _whole, _firstLn2);
        _.vfnmadd231ps(x, _whole, _secondLn2);
        _.vmovaps(_product, _polynomial[0]);
        foreach (AssemblerRegisterZMM coefficient in _polynomial[1..]) _.vfmadd213ps(_product, x, coefficient);
        _.vmulps(_rest, x, x);
        _.vfmadd213ps(_product, _rest, x);
        _.vaddps(_product, _product, _one);
        _.vscalefps(x, _product, _whole);
    }

    private void AddToTotal()
    {
        _.vaddps(_most, _weights[0], _weights[1]);
        for (int v = 2; v < Vectors; v++) _.vaddps(_most, _most, _weights[v]);
        Across(_.vaddps, _most);
        _.vfmadd231ps(_most, _before, __dword_bcst[s_total]);
        _.vmovss(__dword_ptr[s_total], Xmm(_most));
    }

    private static AssemblerRegisterXMM Xmm(AssemblerRegisterZMM register) => new((Register)((int)Register.XMM0 + ((Register)register - Register.ZMM0)));
}
