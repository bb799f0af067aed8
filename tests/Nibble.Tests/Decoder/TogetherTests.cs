using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>Products that run together, with what follows their rows, are what they are one after the other.</summary>
public class TogetherTests
{
    public static TheoryData<string> Decoders => GoldenArchitectureTests.Decoders;

    [Theory, MemberData(nameof(Decoders))]
    public void Logits_are_the_same_to_the_bit_on_any_number_of_workers_and_one_product_after_the_other(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        foreach (FloatFormat cache in (FloatFormat[])[FloatFormat.F32, FloatFormat.F16])
        {
            float[] expected = Logits(folder, cache, workers: 1, oneByOne: true);
            foreach (int workers in (int[])[1, 2, 3, 5]) Assert.Equal(expected, Logits(folder, cache, workers, oneByOne: false));
        }
    }

    /// <summary>A prompt, ten tokens one at a time, and two of two sequences, with weights of 8 bits.</summary>
    private static float[] Logits(string folder, FloatFormat cache, int workers, bool oneByOne)
    {
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(workers);
        using var model = new DecoderModel(source, pool, new DecoderOptions { CacheFormat = cache });
        foreach (Linear linear in model.Linears)
            if (linear.Weight.Columns % 32 == 0) linear.Replace(EightBits(linear.Weight, oneByOne));
        using KvCache first = model.NewCache(40), second = model.NewCache(40);
        int vocabulary = model.Config.Vocabulary;
        var logits = new float[14 * vocabulary];
        model.Forward([1, 2, 3], first, logits, LogitPositions.Last);
        for (int i = 1; i <= 10; i++) model.Forward([3 + i], first, logits.AsSpan(i * vocabulary), LogitPositions.Last);
        model.Forward([5], second, logits.AsSpan(11 * vocabulary), LogitPositions.Last);
        model.Forward([7, 8], new[] { first, second }, logits.AsSpan(12 * vocabulary));
        return logits;
    }

    /// <param name="oneByOne">With an order of columns, which changes nothing, but keeps it from running together with others.</param>
    private static Weight EightBits(Weight weight, bool oneByOne)
    {
        Format format = Format.Parse("Q8_0");
        Weight rounded = Weight.Allocate(weight.Name, format, weight.Rows, weight.Columns);
        var row = new float[weight.Columns];
        for (int r = 0; r < weight.Rows; r++)
        {
            weight.ReadRow(r, row);
            format.Encode(row, default, rounded.Row(r));
        }
        return oneByOne ? rounded.WithColumnOrder([.. Enumerable.Range(0, weight.Columns)]) : rounded;
    }
}
