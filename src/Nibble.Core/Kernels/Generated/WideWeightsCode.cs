using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideWeights"/>.</summary>
internal sealed class WideWeightsCode
{
    private const int Line = 64;

    // rcx or rdi brings the arguments; rcx counts lines then.
    private static readonly AssemblerRegister64 s_at = rax, s_arguments = rdx, s_largest = r8, s_total = r9;

    private readonly Assembler _ = new(64);
    private readonly Queue<AssemblerRegisterZMM> _free = new(VectorRegisters.All);
    private readonly AssemblerRegisterZMM _most, _shrink, _weight, _sum;
    private readonly ExponentialCode _exponential;

    private WideWeightsCode()
    {
        (_most, _shrink, _weight, _sum) = (_free.Dequeue(), _free.Dequeue(), _free.Dequeue(), _free.Dequeue());
        _exponential = new ExponentialCode(_, _free);
    }

    private int Used => VectorRegisters.All.Length - _free.Count;

    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool windows)
    {
        var code = new WideWeightsCode();
        code.Write(windows);
        return code._.ToBytes();
    }

    private void Write(bool windows)
    {
        _.mov(s_arguments, windows ? rcx : rdi);
        VectorRegisters.Save(_, Used, windows);
        _exponential.HoldConstants();
        _.mov(s_largest, Argument(nameof(WideWeights.Arguments.Largest)));
        _.mov(s_total, Argument(nameof(WideWeights.Arguments.Total)));
        FindLargest();
        Shrink();
        Weigh();
        _.vzeroupper();
        VectorRegisters.Restore(_, Used, windows);
        _.ret();
    }

    private void FindLargest()
    {
        _.vmovups(_most, __[s_largest]);
        _.vmovaps(_shrink, _most);
        ForEachLine(nameof(WideWeights.Arguments.Scores), nameof(WideWeights.Arguments.Keys), () => _.vmaxps(_most, _most, __[s_at]));
        _.vmovups(__[s_largest], _most);
    }

    /// <summary>What came before, relative to the largest now.</summary>
    private void Shrink()
    {
        _.vsubps(_shrink, _shrink, _most);
        _exponential.Exponentiate(_shrink);
        _.vmulps(_sum, _shrink, __[s_total]);
        ForEachLine(nameof(WideWeights.Arguments.Sums), nameof(WideWeights.Arguments.SumLines), () =>
        {
            _.vmulps(_weight, _shrink, __[s_at]);
            _.vmovups(__[s_at], _weight);
        });
    }

    private void Weigh()
    {
        ForEachLine(nameof(WideWeights.Arguments.Scores), nameof(WideWeights.Arguments.Keys), () =>
        {
            _.vmovups(_weight, __[s_at]);
            _.vsubps(_weight, _weight, _most);
            _exponential.Exponentiate(_weight);
            _.vmovups(__[s_at], _weight);
            _.vaddps(_sum, _sum, _weight);
        });
        _.vmovups(__[s_total], _sum);
    }

    private void ForEachLine(string from, string count, Action write)
    {
        _.mov(s_at, Argument(from));
        _.mov(rcx, Argument(count));
        Label line = _.CreateLabel();
        _.Label(ref line);
        write();
        _.add(s_at, Line);
        _.dec(rcx);
        _.jne(line);
    }

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<WideWeights.Arguments>(field)];
}
