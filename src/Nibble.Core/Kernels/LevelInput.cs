using System.Runtime.Intrinsics;

namespace Nibble.Core.Kernels;

/// <summary>The inputs of a stretch of 64 columns, as the kernels of a <see cref="LevelMatrix"/> want them.</summary>
public unsafe struct LevelInput
{
    /// <summary>
    /// 1.5 times 2^23: the bits of this float plus a whole number below 2^22 are those of their sum, so an integer sum that begins
    /// with them is a float without a conversion.
    /// </summary>
    public const int Whole = 0x4B400000;

    /// <summary>The columns in the order of <see cref="LevelMatrix.Place"/>.</summary>
    public fixed sbyte Codes[LevelMatrix.Stretch];

    /// <summary>For every four of them <see cref="Whole"/>, less what the bias of the levels adds.</summary>
    public fixed int Start[LevelMatrix.Stretch / 4];

    /// <summary>The scale of both chunks, four times each; the same holds for the second 32 codes.</summary>
    public fixed float Scale[8];

    /// <summary>In the first lane of each chunk, what takes the bias of the levels away again; else 0.</summary>
    public fixed float Bias[8];

    /// <summary>Writes the inputs of all stretches.</summary>
    /// <param name="x">One token, with codes.</param>
    /// <param name="stretches">Of 64 columns.</param>
    /// <param name="bias">What the digits of a level add to it.</param>
    /// <param name="to">As many as stretches.</param>
    public static void Arrange(Activation x, int stretches, int bias, LevelInput* to)
    {
        sbyte* codes = x.Codes;
        for (int s = 0; s < stretches; s++, codes += LevelMatrix.Stretch, to++)
        {
            for (int j = 0; j < LevelMatrix.Stretch; j += 16) Vector128.Load(codes + j).Store(to->Codes + LevelMatrix.Place(j));
            for (int j = 0; j < LevelMatrix.Stretch; j += 32)
            {
                Vector256<int> four = Vector256.Load(to->Codes + j).AsInt32(), sum = (four << 24 >> 24) + (four << 16 >> 24) + (four << 8 >> 24) + (four >> 24);
                (Vector256.Create(Whole) - sum * bias).Store(to->Start + j / 4);
            }
            for (int chunk = 0; chunk < 2; chunk++)
            {
                int c = 2 * s + chunk;
                Vector128.Create(x.Scales[c]).Store(to->Scale + 4 * chunk);
                Vector128.CreateScalar(-bias * x.Scales[c] * (x.Sums[2 * c] + x.Sums[2 * c + 1])).Store(to->Bias + 4 * chunk);
            }
        }
    }
}
