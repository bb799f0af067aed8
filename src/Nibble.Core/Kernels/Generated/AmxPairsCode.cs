using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="AmxPairs"/>, called as all systems but Windows call functions.</summary>
/// <remarks>Registers 0 to 3 are the sums (2 t + r: half t of the tokens, half r of the rows), 4 and 5 the inputs, 6 and 7 the weights.</remarks>
internal static class AmxPairsCode
{
    private const int Halves = 2, Row = Amx.RowBytes, Rows = Amx.Rows;

    private static readonly AssemblerRegisterTMM[] s_sums = [tmm0, tmm1, tmm2, tmm3], s_inputs = [tmm4, tmm5], s_weights = [tmm6, tmm7];
    private static readonly AssemblerRegister64 s_w = rax, s_x = rdx, s_y = r8, s_stride = r9, s_left = rcx, s_line = r10, s_twoLines = r11;

    public static byte[] Assemble()
    {
        var code = new Assembler(64);
        Label configured = code.CreateLabel(), line = code.CreateLabel(), kept = code.CreateLabel();
        Load(rax, nameof(AmxPairs.Arguments.Configuration));
        code.cmp(rax, 0);
        code.je(configured);
        code.ldtilecfg(__zmmword_ptr[rax]);
        code.Label(ref configured);
        Load(s_w, nameof(AmxPairs.Arguments.Weights));
        Load(s_x, nameof(AmxPairs.Arguments.Inputs));
        Load(s_stride, nameof(AmxPairs.Arguments.Stride));
        Load(s_y, nameof(AmxPairs.Arguments.Sums));
        Load(s_left, nameof(AmxPairs.Arguments.Lines));
        code.mov(r10d, Row);
        code.mov(r11d, Halves * Row);
        for (int i = 0; i < s_sums.Length; i++) code.tileloadd(s_sums[i], __[s_y + s_twoLines + Sum(i)]);
        code.Label(ref line);
        for (int half = 0; half < Halves; half++)
        {
            code.tileloadd(s_inputs[half], __[s_x + s_line + half * Rows * Row]);
            code.tileloadd(s_weights[half], __[s_w + s_twoLines + half * Row]);
        }
        for (int i = 0; i < s_sums.Length; i++) code.tdpbf16ps(s_sums[i], s_inputs[i / Halves], s_weights[i % Halves]);
        code.add(s_w, Halves * Rows * Row);
        code.add(s_x, s_stride);
        code.dec(s_left);
        code.jne(line);
        for (int i = 0; i < s_sums.Length; i++) code.tilestored(__[s_y + s_twoLines + Sum(i)], s_sums[i]);
        Load(rax, nameof(AmxPairs.Arguments.Last));
        code.cmp(rax, 0);
        code.je(kept);
        code.tilerelease();
        code.Label(ref kept);
        code.ret();
        return code.ToBytes();

        void Load(AssemblerRegister64 target, string field) => code.mov(target, __qword_ptr[rdi + (int)Marshal.OffsetOf<AmxPairs.Arguments>(field)]);
    }

    /// <summary>Where the sums of a register begin.</summary>
    private static int Sum(int i) => i / Halves * Rows * Halves * Row + i % Halves * Row;
}
