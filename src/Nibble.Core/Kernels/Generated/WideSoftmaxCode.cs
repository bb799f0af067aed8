using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideSoftmax"/>.</summary>
internal sealed class WideSoftmaxCode
{
    private const int Line = 64, Vectors = Attention.KeyBlock / WideAttention.Lanes;

    // rcx or rdi brings the arguments; rcx counts rows then.
    private static readonly AssemblerRegister64 s_scores = rax, s_largest = rdx, s_total = r8, s_shrink = r9;

    private readonly Assembler _ = new(64);
    private readonly Queue<AssemblerRegisterZMM> _free = new(VectorRegisters.All);
    private readonly AssemblerRegisterZMM[] _weights;
    private readonly AssemblerRegisterZMM _most, _before, _other;
    private readonly ExponentialCode _exponential;

    private WideSoftmaxCode()
    {
        _weights = [.. Enumerable.Range(0, Vectors).Select(_ => _free.Dequeue())];
        (_most, _before, _other) = (_free.Dequeue(), _free.Dequeue(), _free.Dequeue());
        _exponential = new ExponentialCode(_, _free);
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
        _exponential.HoldConstants();
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
        _.vshuff32x4(_other, lanes, lanes, 0x4E);
        combine(lanes, lanes, _other);
        _.vshuff32x4(_other, lanes, lanes, 0xB1);
        combine(lanes, lanes, _other);
        _.vpermilps(_other, lanes, 0x4E);
        combine(lanes, lanes, _other);
        _.vpermilps(_other, lanes, 0xB1);
        combine(lanes, lanes, _other);
    }

    /// <summary>Weights, and what shrinks what came before.</summary>
    private void Weigh()
    {
        _.vsubps(_before, _before, _most);
        _exponential.Exponentiate(_before);
        _.vmovss(__dword_ptr[s_shrink], Xmm(_before));
        for (int v = 0; v < Vectors; v++)
        {
            _.vsubps(_weights[v], _weights[v], _most);
            _exponential.Exponentiate(_weights[v]);
            _.vmovups(__[s_scores + v * Line], _weights[v]);
        }
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
