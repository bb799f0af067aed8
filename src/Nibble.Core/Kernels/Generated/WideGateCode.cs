using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideGate"/>.</summary>
internal sealed class WideGateCode
{
    private const int Vector = 64;

    /// <summary>e to it is infinite, in singles, and x divided by that is nothing.</summary>
    private const float Highest = 200;

    // rcx or rdi brings the arguments; rcx counts vectors then.
    private static readonly AssemblerRegister64 s_gate = rax, s_arguments = rdx, s_up = r8, s_y = r9, s_rows = r10;

    private readonly Assembler _ = new(64);
    private readonly Queue<AssemblerRegisterZMM> _free = new(VectorRegisters.All);
    private readonly AssemblerRegisterZMM _x, _e, _linear, _cubic, _highest;
    private readonly ExponentialCode _exponential;
    private readonly bool _hasUp;

    private WideGateCode(bool hasUp)
    {
        (_x, _e, _linear, _cubic, _highest) = (_free.Dequeue(), _free.Dequeue(), _free.Dequeue(), _free.Dequeue(), _free.Dequeue());
        _exponential = new ExponentialCode(_, _free);
        _hasUp = hasUp;
    }

    private int Used => VectorRegisters.All.Length - _free.Count;

    /// <summary>The z of x σ(z): the factors of x and of x³; null for what is no such unit.</summary>
    public static (float Linear, float Cubic)? Exponent(Nonlinearity f) => f switch
    {
        Nonlinearity.Silu => (1, 0),
        Nonlinearity.GeluSigmoid => (GatedUnit.SigmoidLinear, 0),
        Nonlinearity.GeluTanh => (GatedUnit.TanhLinear, GatedUnit.TanhLinear * GatedUnit.TanhCubic),
        _ => null,
    };

    /// <param name="f">One that has an <see cref="Exponent"/>.</param>
    /// <param name="hasUp">Whether there is another factor.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(Nonlinearity f, bool hasUp, bool windows)
    {
        var code = new WideGateCode(hasUp);
        code.Write(Exponent(f)!.Value, windows);
        return code._.ToBytes();
    }

    private void Write((float Linear, float Cubic) z, bool windows)
    {
        _.mov(s_arguments, windows ? rcx : rdi);
        VectorRegisters.Save(_, Used, windows);
        _exponential.HoldConstants();
        _exponential.Hold(_linear, -z.Linear);
        _exponential.Hold(_cubic, -z.Cubic);
        _exponential.Hold(_highest, Highest);
        _.mov(s_gate, Argument(nameof(WideGate.Arguments.Gate)));
        if (_hasUp) _.mov(s_up, Argument(nameof(WideGate.Arguments.Up)));
        _.mov(s_y, Argument(nameof(WideGate.Arguments.Y)));
        _.mov(s_rows, Argument(nameof(WideGate.Arguments.Rows)));
        Label row = _.CreateLabel(), vector = _.CreateLabel();
        _.Label(ref row);
        _.mov(rcx, Argument(nameof(WideGate.Arguments.Vectors)));
        _.Label(ref vector);
        Gate(isCubic: z.Cubic != 0);
        foreach (AssemblerRegister64 at in Pointers()) _.add(at, Vector);
        _.dec(rcx);
        _.jne(vector);
        foreach (AssemblerRegister64 at in Pointers()) _.add(at, Argument(at == s_y ? nameof(WideGate.Arguments.SkipY) : nameof(WideGate.Arguments.Skip)));
        _.dec(s_rows);
        _.jne(row);
        _.vzeroupper();
        VectorRegisters.Restore(_, Used, windows);
        _.ret();
    }

    private AssemblerRegister64[] Pointers() => _hasUp ? [s_gate, s_up, s_y] : [s_gate, s_y];

    /// <summary>x / (1 + e to -z), times the other factor. Of two operands the instruction for the smaller one takes the second where one is no number.</summary>
    private void Gate(bool isCubic)
    {
        _.vmovups(_x, __zmmword_ptr[s_gate]);
        if (isCubic)
        {
            _.vmulps(_e, _x, _x);
            _.vfmadd213ps(_e, _cubic, _linear);
            _.vmulps(_e, _e, _x);
        }
        else _.vmulps(_e, _x, _linear);
        _.vminps(_e, _highest, _e);
        _exponential.Exponentiate(_e);
        _.vaddps(_e, _e, _exponential.One);
        _.vdivps(_x, _x, _e);
        if (_hasUp) _.vmulps(_x, _x, __zmmword_ptr[s_up]);
        _.vmovups(__zmmword_ptr[s_y], _x);
    }

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<WideGate.Arguments>(field)];
}
