using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels.Generated;

/// <summary>F16 becomes F32, a vector at a time. Generated at run time: .NET has no instruction for it, and takes about twenty.</summary>
public sealed unsafe class HalfNumbers
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        public Half* Halves;

        /// <summary>As many; overwritten.</summary>
        public float* Numbers;

        /// <summary>At least 1.</summary>
        public nint Vectors;
    }

    private static readonly Lazy<HalfNumbers?> s_numbers = new(Load);

    private readonly delegate* unmanaged<Arguments*, void> _code;
    private readonly int _lanes;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    /// <param name="lanes">Numbers of a vector.</param>
    internal HalfNumbers(nint code, int lanes)
    {
        _code = (delegate* unmanaged<Arguments*, void>)code;
        _lanes = lanes;
    }

    /// <summary>The code, or null where it cannot run.</summary>
    public static HalfNumbers? Instance => s_numbers.Value;

    public void Widen(Half* halves, float* numbers, int count)
    {
        var arguments = new Arguments { Halves = halves, Numbers = numbers, Vectors = count / _lanes };
        if (arguments.Vectors > 0) _code(&arguments);
        for (int i = count - count % _lanes; i < count; i++) numbers[i] = (float)halves[i];
    }

    private static HalfNumbers? Load()
    {
        const int F16C = 1 << 29;
        bool wide = Avx512Vnni.IsSupported;
        if (!wide && !(Avx2.IsSupported && (X86Base.CpuId(1, 0).Ecx & F16C) != 0)) return null;
        nint code = ExecutableMemory.Load(HalfNumbersCode.Assemble(wide, OperatingSystem.IsWindows()));
        return code == 0 ? null : new HalfNumbers(code, HalfNumbersCode.Lanes(wide));
    }
}
