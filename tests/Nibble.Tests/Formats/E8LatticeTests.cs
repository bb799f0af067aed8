using System.Runtime.Intrinsics;
using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

public class E8LatticeTests
{
    private static readonly sbyte[][] All = [.. Enumerable.Range(0, 1 << 16).Select(Point)];

    private static sbyte[] Point(int code)
    {
        var point = new sbyte[8];
        E8Lattice.Read(code, point);
        return point;
    }

    [Fact]
    public void The_points_are_different_and_lie_in_the_lattice_moved_by_a_quarter()
    {
        Assert.Equal(1 << 16, All.Select(p => string.Join(',', p)).Distinct().Count());
        foreach (sbyte[] p in All)
        {
            // Less a quarter, doubled: all even or all odd (whole or half coordinates), and a sum that is a multiple of four.
            int[] twice = [.. p.Select(q => (q - 1) / 2)];
            Assert.True(p.All(q => (q & 1) == 1));
            Assert.True(twice.All(t => (t & 1) == (twice[0] & 1)));
            Assert.Equal(0, twice.Sum() & 3);
        }
    }

    [Fact]
    public void There_are_as_many_magnitudes_of_each_norm_as_the_paper_counts()
    {
        // Norm 2: 1, norm 4: 8, norm 6: 28, norm 8: 64, norm 10: 126, in all 227; and 29 of norm 12.
        int[] norms = [.. Enumerable.Range(0, 256).Select(m => Point(m).Sum(q => (q - 1) * (q - 1)) / 16)];
        Assert.Equal([(2, 1), (4, 8), (6, 28), (8, 64), (10, 126), (12, 29)], norms.GroupBy(n => n).OrderBy(g => g.Key).Select(g => (g.Key, g.Count())));
    }

    [Fact]
    public void The_nearest_point_is_the_nearest_of_all()
    {
        float[] targets = Rows.Gaussian(8 * 60, seed: 1), weight = [.. Rows.Gaussian(8, seed: 2).Select(w => w * w + 0.1f)];
        for (int i = 0; i < targets.Length; i += 8)
        {
            float[] x = [.. targets[i..(i + 8)].Select(t => t * (0.3f + i / 200f))];
            foreach (float[] w in (float[][])[[], weight])
            {
                double least = All.Min(p => Distance(x, p, w));
                int code = E8Lattice.Nearest(x, w, out float distance);
                Assert.Equal(least, Distance(x, All[code], w), 1e-5);
                Assert.Equal(least, distance, 1e-4 * (1 + least));
            }
        }
    }

    [Fact]
    public void Reading_with_a_scale_is_reading_times_the_scale()
    {
        for (int code = 0; code < 1 << 16; code += 7)
        {
            Vector256<float> read = E8Lattice.Read(code, 3);
            for (int j = 0; j < 8; j++) Assert.Equal(0.75f * All[code][j], read[j]);
        }
    }

    [Fact]
    public void Codes_give_these_weights()
    {
        // F16 scale 4. Code 0: all magnitudes 1/2, no sign, plus a quarter. Code 0x8100: minus at 0, so minus at 7, minus a quarter.
        byte[] block = [0x00, 0x44, 0x00, 0x00, 0x00, 0x81];
        Assert.Equal([3, 3, 3, 3, 3, 3, 3, 3, -3, 1, 1, 1, 1, 1, 1, -3], TestMatrix.Decode(Format.Parse("Vector8-E8-g16"), block, 16));
    }

    private static double Distance(float[] x, sbyte[] point, float[] weight)
    {
        double sum = 0;
        for (int j = 0; j < 8; j++) sum += Math.Pow(x[j] - point[j] / 4.0, 2) * (weight.Length == 0 ? 1 : weight[j]);
        return sum;
    }
}
