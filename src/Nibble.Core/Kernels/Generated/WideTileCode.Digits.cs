using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

// Levels of 12 bits: both digits of a code are looked up and multiplied by themselves.
internal sealed partial class WideTileCode
{
    private static readonly AssemblerRegisterZMM s_upperTable = s_lowMask, s_lowerTable = s_table, s_upper = s_number, s_lower = s_high;

    private void LoadDigits()
    {
        _.vmovups(s_upperTable, __[rax]);
        _.vmovups(s_lowerTable, __[rax + Line]);
    }

    /// <summary>
    /// The sums of both digits, then of the whole. vpermb minds the low 6 bits of a byte only, and the table's 16 entries stand in it
    /// four times: nothing is masked.
    /// </summary>
    private void SumDigits()
    {
        for (int token = 0; token < _tokens; token++)
        {
            _.vpbroadcastd(Dot(0, token), __dword_ptr[s_inputs + Input(0, 1, token)]);
            Clear(Dot(1, token));
        }
        for (int step = 0; step < 8; step++)
        {
            if (step < 4) _.vmovups(s_codes, Codes(step));
            else _.vpsrlw(s_codes, Codes(step - 4), 4);
            _.vpermb(s_lower, s_codes, s_lowerTable);
            _.vpermb(s_upper, s_codes, s_upperTable);
            for (int token = 0; token < _tokens; token++)
            {
                _.vpdpbusd(Dot(0, token), s_lower, s_rows.Broadcast(token, step * 4));
                _.vpdpbusd(Dot(1, token), s_upper, s_rows.Broadcast(token, step * 4));
            }
        }
        for (int token = 0; token < _tokens; token++)
        {
            _.vpslld(Dot(1, token), Dot(1, token), 6);
            _.vpaddd(Dot(0, token), Dot(0, token), Dot(1, token));
        }
    }
}
