namespace Nibble.Core.Kernels;

/// <summary>
/// What the integer kernels need of the inputs beside their codes, for each part of a chunk: the scale; the integer that the sum
/// of products starts with, which makes of codes levels; and the sum of codes (for offsets and zero points).
/// </summary>
internal static unsafe class InputNumbers
{
    /// <summary>Numbers of a part.</summary>
    public const int Kinds = 3;

    /// <summary>Writes them in the order the kernels read: [token groups, chunks, parts, kinds, tokens of the group].</summary>
    /// <param name="x">With codes; tokens beyond the last of a group repeat the last.</param>
    /// <param name="group">Tokens that a kernel takes at once.</param>
    /// <param name="parts">1 or 2 of a chunk.</param>
    /// <param name="bias">What must be added to a weight as the dot product sees it.</param>
    /// <param name="scaled">Whether the sum of codes is multiplied by the scale.</param>
    /// <param name="target">Room for all of it.</param>
    public static void Arrange(Activation x, int group, int parts, int bias, bool scaled, float* target)
    {
        for (int first = 0; first < x.Tokens; first += group, target += (nint)x.Chunks * parts * Kinds * group)
            ArrangeGroup(x, first, group, 0, x.Chunks, parts, bias, scaled, target);
    }

    /// <summary>The same of an input for generated code.</summary>
    /// <param name="group">The group to arrange.</param>
    /// <param name="target">Of all groups: [groups, chunks, parts, kinds, tokens of the group].</param>
    public static void ArrangeGroup(Activation x, InputGroups groups, int group, int fromChunk, int toChunk, float* target)
    {
        int first = groups.First(group), size = groups.Size(group);
        target += first * groups.Numbers(x.Chunks) + size * groups.Numbers(fromChunk);
        ArrangeGroup(x, first, size, fromChunk, toChunk, groups.Parts, groups.Bias, groups.Scaled, target);
    }

    private static void ArrangeGroup(Activation x, int first, int group, int fromChunk, int toChunk, int parts, int bias, bool scaled, float* target)
    {
        for (int token = 0; token < group; token++)
        {
            int source = Math.Min(first + token, x.Tokens - 1) * x.Chunks;
            float* scales = x.Scales + source, at = target + token;
            int* sums = x.Sums + 2 * source;
            for (int c = fromChunk; c < toChunk; c++)
                for (int part = 0; part < parts; part++, at += group * Kinds)
                {
                    int sum = parts == 1 ? sums[2 * c] + sums[2 * c + 1] : sums[2 * c + part];
                    at[0] = scales[c];
                    *(int*)(at + group) = bias * sum;
                    at[2 * group] = scaled ? scales[c] * sum : sum;
                }
        }
    }

    /// <summary>The same for sums in 16-bit lanes: the second number is the bits of <see cref="IIntegerDot.Start"/>.</summary>
    public static void ArrangeNarrow<TDot>(Activation x, int group, int parts, int level, bool scaled, float* target) where TDot : struct, IIntegerDot
    {
        Arrange(x, group, parts, 0, scaled, target);
        int width = group * Kinds * parts;
        for (int token = 0; token < (x.Tokens + group - 1) / group * group; token++)
        {
            sbyte* codes = x.Codes + (nint)Math.Min(token, x.Tokens - 1) * x.Chunks * Activation.Chunk;
            float* at = target + (nint)(token / group) * x.Chunks * width + token % group + group;
            for (int c = 0; c < x.Chunks; c++, codes += Activation.Chunk, at += width)
            {
                (int first, int second) = TDot.Start(codes, level);
                *(int*)at = parts == 1 ? AddHalves(first, second) : first;
                if (parts == 2) ((int*)at)[group * Kinds] = second;
            }
        }
    }

    /// <summary>Two 16-bit sums at once, without a carry from the lower to the upper.</summary>
    private static int AddHalves(int a, int b) => ((a & ~0xFFFF) + (b & ~0xFFFF)) | ((a + b) & 0xFFFF);
}
