namespace Nibble.Tests.Packed;

/// <summary>A matrix [out, in] rounded to codes under half-precision scales and zero points, before any layout.</summary>
internal sealed record RoundedMatrix(int Rows, int Columns, int Bits, int Group, int[] Codes, Half[] Scales, int[] Zeros)
{
    public int Groups => Columns / Group;

    /// <summary>The column's group, where they are not in order.</summary>
    public int[] GroupOf { get; init; } = [.. Enumerable.Range(0, Columns).Select(i => i / Group)];

    public float Weight(int row, int column)
    {
        int at = row * Groups + GroupOf[column];
        return (float)Scales[at] * (Codes[row * Columns + column] - Zeros[at]);
    }

    public float[] Weights() => [.. Enumerable.Range(0, Rows * Columns).Select(i => Weight(i / Columns, i % Columns))];

    /// <param name="shuffle">Deals the columns to groups in an order of its own (act-order).</param>
    public static RoundedMatrix Of(float[] floats, int columns, int bits, int group, bool symmetric, bool shuffle = false)
    {
        int rows = floats.Length / columns, groups = columns / group, top = (1 << bits) - 1;
        int[] groupOf = [.. Enumerable.Range(0, columns).Select(i => i / group)];
        if (shuffle) new Random(columns).Shuffle(groupOf);
        var matrix = new RoundedMatrix(rows, columns, bits, group, new int[floats.Length], new Half[rows * groups], new int[rows * groups]) { GroupOf = groupOf };
        for (int r = 0; r < rows; r++)
            for (int g = 0; g < groups; g++)
            {
                int[] members = [.. Enumerable.Range(0, columns).Where(c => groupOf[c] == g).Select(c => r * columns + c)];
                float low = Math.Min(0, members.Min(i => floats[i])), high = Math.Max(0, members.Max(i => floats[i])), reach = Math.Max(-low, high);
                Half scale = (Half)(symmetric ? reach / (1 << (bits - 1)) : (high - low) / top);
                int zero = symmetric ? 1 << (bits - 1) : (int)Math.Clamp(MathF.Round(-low / (float)scale), 0, top);
                (matrix.Scales[r * groups + g], matrix.Zeros[r * groups + g]) = (scale, zero);
                foreach (int i in members) matrix.Codes[i] = (int)Math.Clamp(MathF.Round(floats[i] / (float)scale) + zero, 0, top);
            }
        return matrix;
    }
}

/// <summary>Writes codes into words of 32 bits as the layouts of other programs have them, one bit after the other.</summary>
internal static class HandPacked
{
    /// <summary>A dense run of codes, from the lowest bit of the first word on.</summary>
    public static int[] Dense(IReadOnlyList<int> codes, int bits)
    {
        var words = new uint[(codes.Count * bits + 31) / 32];
        for (int i = 0; i < codes.Count * bits; i++)
            words[i / 32] |= (uint)(codes[i / bits] >> i % bits & 1) << i % 32;
        return [.. words.Select(w => (int)w)];
    }

    /// <summary>As many whole codes in a word as it holds.</summary>
    public static int[] Padded(IReadOnlyList<int> codes, int bits)
    {
        int each = 32 / bits;
        var words = new uint[(codes.Count + each - 1) / each];
        for (int i = 0; i < codes.Count; i++) words[i / each] |= (uint)codes[i] << i % each * bits;
        return [.. words.Select(w => (int)w)];
    }

    /// <summary>Columns that are packed each by themselves, as a matrix of words: [words, columns].</summary>
    public static int[] Down(int rows, int columns, Func<int, int, int> code, Func<int[], int[]> pack)
    {
        int[][] packed = [.. Enumerable.Range(0, columns).Select(c => pack([.. Enumerable.Range(0, rows).Select(r => code(r, c))]))];
        return [.. Enumerable.Range(0, packed[0].Length).SelectMany(w => packed.Select(p => p[w]))];
    }

    /// <summary>Rows that are packed each by themselves: [rows, words].</summary>
    public static int[] Along(int rows, int columns, Func<int, int, int> code, Func<int[], int[]> pack) =>
        [.. Enumerable.Range(0, rows).SelectMany(r => pack([.. Enumerable.Range(0, columns).Select(c => code(r, c))]))];

    /// <summary>Eight codes to a word in AWQ's order.</summary>
    public static int[] Awq(int[] codes)
    {
        int[] order = [0, 2, 4, 6, 1, 3, 5, 7];
        return [.. codes.Chunk(8).Select(eight => (int)order.Select((output, nibble) => (uint)eight[output] << (4 * nibble)).Aggregate((a, b) => a | b))];
    }
}
