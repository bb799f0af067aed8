using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels;

/// <summary>Rounded inputs against their definition, in float64.</summary>
public sealed unsafe class InputRoundingTests
{
    private const int Rows = 21, Columns = 192, Tokens = 3;

    public static TheoryData<string, string> Roundings
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (string format in (string[])["F32", "F16", "BF16", "Q4_0", "Linear6-g16", "Linear4-g48"])
                foreach (string rounding in (string[])["float", "bfloat16", "int8", "int8-g32", "int8-g64", "int8-g8", "int8-g100", "int8-tensor", "int8-channel", "int4", "int4-g32", "int4-tensor", "int4-channel"])
                    data.Add(format, rounding);
            return data;
        }
    }

    [Theory, MemberData(nameof(Roundings))]
    public void The_product_is_that_of_the_rounded_inputs(string format, string name)
    {
        using var pool = new WorkerPool(2);
        using var x = new Activation();
        Weight w = NewWeight(format);
        FillInputs(x, 3);
        InputRounding rounding = WithScales(InputRounding.Parse(name), x);
        var y = new float[Tokens * w.Rows];
        fixed (float* p = y) MatrixProduct.Multiply(w, x, p, pool, rounding);
        var row = new float[w.Columns];
        for (int r = 0; r < w.Rows; r++)
        {
            w.ReadRow(r, row);
            for (int t = 0; t < Tokens; t++)
            {
                double[] input = Defined(x.Row(t), rounding);
                double sum = 0, size = 0;
                for (int i = 0; i < row.Length; i++) (sum, size) = (sum + row[i] * input[i], size + Math.Abs(row[i] * input[i]));
                Assert.Equal(sum, y[t * w.Rows + r], 3e-6 * size);
            }
        }
    }

    [Fact]
    public void The_kernels_own_rounding_is_the_one_of_8_bits_and_32_columns()
    {
        using var pool = new WorkerPool(1);
        using var x = new Activation();
        Weight w = NewWeight("Q4_0");
        FillInputs(x, 4);
        float[] own = new float[Tokens * w.Rows], named = new float[Tokens * w.Rows];
        fixed (float* a = own, b = named)
        {
            MatrixProduct.Multiply(w, x, a, pool);
            MatrixProduct.Multiply(w, x, b, pool, InputRounding.Parse("int8-g32"));
        }
        Assert.Equal(own, named);
    }

    [Fact]
    public void Static_scales_cut_what_is_larger_than_they_have_seen()
    {
        using var pool = new WorkerPool(1);
        using var x = new Activation();
        x.Resize(1, 32);
        x.Row(0).Fill(10);
        InputRounding rounding = InputRounding.Parse("int8-tensor").WithLargest([1]);
        Assert.Equal(1, x.Rounded(pool, rounding)[5], 1e-6);
        x.MakeCodes(pool, rounding);
        Assert.Equal(127, x.Codes[5]);
    }

    /// <summary>By the definition, in scalars, however many workers share the chunks; the last chunk is half padding.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(5)]
    public void Codes_are_those_of_their_definition(int workers)
    {
        using var pool = new WorkerPool(workers);
        using var x = new Activation();
        foreach (string name in (string[])["int8-g32", "int8-g96", "int8", "int4-g64"])
            foreach ((int tokens, int columns) in ((int, int)[])[(1, 80), (1, 4112), (3, 80)])
            {
                InputRounding rounding = InputRounding.Parse(name);
                x.Resize(tokens, columns);
                var random = new Random(columns);
                for (int t = 0; t < tokens; t++)
                    foreach (ref float v in x.Row(t)) v = random.Next(9) == 0 ? 0 : (random.NextSingle() - 0.5f) * random.Next(1, 100);
                x.Row(0)[..32].Clear();
                x.Changed();
                x.MakeCodes(pool, rounding);
                for (int t = 0; t < tokens; t++) CheckCodes(x, t, rounding);
            }
    }

    private static void CheckCodes(Activation x, int token, InputRounding rounding)
    {
        int span = rounding.Grain == InputGrain.Group ? rounding.Group : x.Columns;
        ReadOnlySpan<float> row = x.Row(token);
        for (int chunk = 0; chunk < x.Chunks; chunk++)
        {
            int first = chunk * 32 - chunk * 32 % span, place = token * x.Chunks + chunk;
            float largest = 0;
            foreach (float v in row[first..Math.Min(first + span, x.Columns)]) largest = MathF.Max(largest, MathF.Abs(v));
            Assert.Equal(largest / rounding.LargestCode, x.Scales[place]);
            float inverse = largest > 0 ? rounding.LargestCode / largest : 0;
            int[] sums = [0, 0];
            for (int i = 0; i < 32; i++)
            {
                int at = chunk * 32 + i, code = at < x.Columns ? (int)Math.Clamp(MathF.Round(row[at] * inverse), -rounding.LargestCode, rounding.LargestCode) : 0;
                Assert.Equal(code, x.Codes[place * 32 + i]);
                sums[i / 16] += code;
            }
            Assert.Equal(sums[0], x.Sums[2 * place]);
            Assert.Equal(sums[1], x.Sums[2 * place + 1]);
        }
    }

    /// <summary>An input that is not a number must make products that are none.</summary>
    [Fact]
    public void The_scale_of_what_is_not_a_number_is_none()
    {
        using var pool = new WorkerPool(1);
        using var x = new Activation();
        foreach (int at in (int[])[0, 13, 31])
        {
            x.Resize(1, 64);
            x.Row(0).Fill(1);
            x.Row(0)[at] = float.NaN;
            x.Changed();
            x.MakeCodes(pool);
            Assert.True(float.IsNaN(x.Scales[0]));
            Assert.Equal(127, x.Codes[32]);
        }
    }

    [Fact]
    public void Inputs_of_zero_stay_zero()
    {
        using var pool = new WorkerPool(1);
        using var x = new Activation();
        x.Resize(1, 64);
        x.Row(0).Clear();
        foreach (string name in (string[])["int8", "int4-g32", "int8-channel"])
            Assert.Equal(0, x.Rounded(pool, WithScales(InputRounding.Parse(name), x))[3]);
    }

    [Theory]
    [InlineData("int5")]
    [InlineData("int8-g0")]
    [InlineData("int8-row")]
    [InlineData("int8-token-static")]
    [InlineData("")]
    public void A_rounding_that_does_not_exist_is_refused(string name) =>
        Assert.Contains("int8", Assert.Throws<UnusableInputException>(() => InputRounding.Parse(name)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("int8", "int8-token")]
    [InlineData("INT4-G32", "int4-g32")]
    [InlineData("float", "float")]
    [InlineData("bfloat16", "bfloat16")]
    public void Names_are_read_as_they_are_written(string given, string name) => Assert.Equal(name, InputRounding.Parse(given).Name);

    [Theory, InlineData("F16"), InlineData("BF16"), InlineData("F32"), InlineData("Q8_0"), InlineData("NF4")]
    public void What_is_fastest_depends_on_what_the_processor_multiplies(string format)
    {
        InputRounding? expected = format switch
        {
            "F16" or "BF16" => PairPanel.Instance is null ? null : InputRounding.BFloat16,
            "Q8_0" => AmxPairs.Instance is null ? null : InputRounding.Mixed,
            _ => null,
        };
        Assert.Equal(expected, InputRounding.Fastest(NewWeight(format)));
    }

    private static Weight NewWeight(string format)
    {
        Format parsed = Format.Parse(format);
        Weight w = Weight.Allocate("w", parsed, Rows, Columns);
        for (int r = 0; r < Rows; r++) parsed.ForColumns(Columns).Encode(AttentionTests.Gaussian(Columns, 50 + r), default, w.Row(r));
        return w;
    }

    private static void FillInputs(Activation x, int seed)
    {
        x.Resize(Tokens, Columns);
        AttentionTests.Gaussian(Tokens * Columns, seed).CopyTo(new Span<float>(x.Floats, Tokens * Columns));
        x.Row(1)[7] = 30;
    }

    private static InputRounding WithScales(InputRounding rounding, Activation x)
    {
        if (!rounding.IsStatic) return rounding;
        var largest = new float[x.Columns];
        for (int t = 0; t < x.Tokens; t++)
            for (int c = 0; c < x.Columns; c++) largest[c] = Math.Max(largest[c], Math.Abs(x.Row(t)[c]));
        return rounding.WithLargest(largest);
    }

    /// <summary>A row rounded as the names say, plainly.</summary>
    private static double[] Defined(ReadOnlySpan<float> row, InputRounding rounding)
    {
        var rounded = new double[row.Length];
        for (int i = 0; i < row.Length; i++)
        {
            if (rounding.Bits == 0)
            {
                rounded[i] = row[i];
                continue;
            }
            if (rounding.Bits == 16)
            {
                double step = row[i] == 0 ? 1 : Math.ScaleB(1, Math.ILogB(row[i]) - 7);
                rounded[i] = Math.Round(row[i] / step) * step;
                continue;
            }
            int most = rounding.Bits == 8 ? 127 : 7, from = 0, to = row.Length;
            if (rounding.Grain == InputGrain.Group) (from, to) = (i / rounding.Group * rounding.Group, Math.Min(row.Length, (i / rounding.Group + 1) * rounding.Group));
            float largest = 0;
            foreach (float v in row[from..to]) largest = Math.Max(largest, Math.Abs(v));
            float scale = !rounding.IsStatic ? largest / most : rounding.Scales.Span[rounding.Grain == InputGrain.Channel ? i : 0];
            // As the kernels do: times the inverse, in float32.
            float inverse = rounding.IsStatic ? 1 / scale : most / largest;
            rounded[i] = scale == 0 ? 0 : (double)scale * MathF.Round(row[i] * inverse);
        }
        return rounded;
    }
}
