using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>Code for e to numbers, 16 at a time, as <see cref="Exponential"/> computes it.</summary>
/// <remarks>What is no number stays none: of two operands the instruction for the larger one takes the second then. Above 88 it is infinite; far above 200 it may be no number.</remarks>
internal sealed class ExponentialCode
{
    /// <summary>2 to its power is 0, in singles.</summary>
    private const float Lowest = -200;

    private static readonly float[] s_polynomial = [Exponential.P5, Exponential.P4, Exponential.P3, Exponential.P2, Exponential.P1, Exponential.P0];

    private readonly Assembler _;
    private readonly AssemblerRegisterZMM _lowest, _bitsOfE, _firstLn2, _secondLn2, _whole, _square, _product;
    private readonly AssemblerRegisterZMM[] _polynomial;

    /// <param name="code">What is written to.</param>
    /// <param name="free">Registers, of which constants and what lies between take some for good.</param>
    public ExponentialCode(Assembler code, Queue<AssemblerRegisterZMM> free)
    {
        _ = code;
        (_lowest, _bitsOfE, _firstLn2, _secondLn2, One) = (free.Dequeue(), free.Dequeue(), free.Dequeue(), free.Dequeue(), free.Dequeue());
        _polynomial = [.. s_polynomial.Select(_ => free.Dequeue())];
        (_whole, _square, _product) = (free.Dequeue(), free.Dequeue(), free.Dequeue());
    }

    /// <summary>Ones, once constants are held.</summary>
    public AssemblerRegisterZMM One { get; }

    /// <summary>Fills the registers of constants; eax is overwritten.</summary>
    public void HoldConstants()
    {
        Hold(_lowest, Lowest);
        Hold(_bitsOfE, Exponential.BitsOfE);
        Hold(_firstLn2, Exponential.FirstLn2);
        Hold(_secondLn2, Exponential.SecondLn2);
        Hold(One, 1);
        for (int i = 0; i < _polynomial.Length; i++) Hold(_polynomial[i], s_polynomial[i]);
    }

    /// <summary>Fills a register with a number; eax is overwritten.</summary>
    public void Hold(AssemblerRegisterZMM target, float number)
    {
        _.mov(eax, BitConverter.SingleToInt32Bits(number));
        _.vpbroadcastd(target, eax);
    }

    /// <summary>Replaces numbers by e to them.</summary>
    public void Exponentiate(AssemblerRegisterZMM x)
    {
        _.vmaxps(x, _lowest, x);
        _.vmulps(_whole, x, _bitsOfE);
        _.vrndscaleps(_whole, _whole, 0);
        _.vfnmadd231ps(x, _whole, _firstLn2);
        _.vfnmadd231ps(x, _whole, _secondLn2);
        _.vmovaps(_product, _polynomial[0]);
        foreach (AssemblerRegisterZMM coefficient in _polynomial[1..]) _.vfmadd213ps(_product, x, coefficient);
        _.vmulps(_square, x, x);
        _.vfmadd213ps(_product, _square, x);
        _.vaddps(_product, _product, One);
        _.vscalefps(x, _product, _whole);
    }
}
