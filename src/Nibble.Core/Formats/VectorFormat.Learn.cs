using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>Learning the codebooks of a tensor.</summary>
public sealed partial class VectorFormat
{
    /// <summary>Vectors to learn from for each entry, at most; rows are chosen evenly.</summary>
    private const int VectorsAnEntry = 64;

    /// <summary>And at least so many in all, if there are.</summary>
    private const int LeastVectors = 1 << 17;

    /// <summary>Rounds in which every stage of an additive code is averaged anew under the codes of all.</summary>
    private const int AdditiveRounds = 4;

    public override Format Learn(IWeightSource source, LearnOptions options)
    {
        var points = new float[_shape.Codebooks][];
        int done = 0, all = _shape.Books * _shape.Parts;
        for (int book = 0; book < _shape.Books; book++)
            for (int part = 0; part < _shape.Parts; part++, done++)
            {
                int first = done;
                Action<double>? progress = options.Progress is { } report ? share => report((first + share) / all) : null;
                (float[] vectors, float[] weights) = Sample(source, book, part, options);
                float[][] stages = LearnStages(vectors, weights, options, progress);
                stages.CopyTo(points, done * _shape.Stages);
            }
        return new VectorFormat(_shape, source.Columns, Store(points));
    }

    /// <summary>The vectors of a book's rows and a part's places, over their scale; and how much each number matters.</summary>
    private (float[] Vectors, float[] Weights) Sample(IWeightSource source, int book, int part, LearnOptions options)
    {
        int d = _shape.Dimension, firstRow = (int)((long)source.Rows * book / _shape.Books), endRow = (int)((long)source.Rows * (book + 1) / _shape.Books);
        int places = source.Columns / d / _shape.Parts;
        long wanted = Math.Max(LeastVectors, (long)VectorsAnEntry * _shape.Entries), there = (long)places * (endRow - firstRow);
        int step = (int)Math.Max(1, (there + wanted - 1) / wanted), rows = (endRow - firstRow + step - 1) / step;
        var vectors = new float[(long)rows * places * d];
        var weights = new float[HasImportance(options) ? vectors.LongLength : 0];
        var threads = new ParallelOptions { MaxDegreeOfParallelism = options.Threads > 0 ? options.Threads : Environment.ProcessorCount };
        Parallel.For(0, rows, threads, r =>
        {
            var row = new float[source.Columns];
            source.ReadRow(firstRow + r * step, row);
            DivideByScales(row);
            for (int p = 0; p < places; p++)
            {
                int from = (p * _shape.Parts + part) * d, to = (r * places + p) * d;
                row.AsSpan(from, d).CopyTo(vectors.AsSpan(to));
                if (weights.Length > 0) VectorImportance.Temper(options.Importance.Span, from, weights.AsSpan(to, d));
            }
        });
        return (vectors, weights);
    }

    private static bool HasImportance(LearnOptions options)
    {
        foreach (float importance in options.Importance.Span)
            if (importance > 0) return true;
        return false;
    }

    private void DivideByScales(Span<float> row)
    {
        if (_shape.ScaleBytes == 0) return;
        int size = _shape.Granularity.Reach == Reach.Group ? _shape.Granularity.Size : row.Length;
        Span<byte> stored = stackalloc byte[_shape.ScaleBytes];
        for (int at = 0; at < row.Length; at += size)
        {
            Span<float> group = row.Slice(at, size);
            _shape.Scales.Write(stored, [RootMeanSquare(group)]);
            float scale = _shape.Scales.Read(stored, 0), inverse = scale < 1e-37f ? 0 : 1 / scale;
            foreach (ref float w in group) w *= inverse;
        }
    }

    /// <summary>The first codebook from the vectors, each next from what those before leave; additive ones then together.</summary>
    private float[][] LearnStages(float[] vectors, float[] weights, LearnOptions options, Action<double>? progress)
    {
        int d = _shape.Dimension, stages = _shape.Stages;
        var points = new float[stages][];
        float[] rest = [.. vectors];
        for (int s = 0; s < stages; s++)
        {
            int first = s;
            var trainer = new KMeans(d, rest, weights, options with { Seed = options.Seed + (ulong)s });
            (points[s], int[] nearest) = trainer.Train(_shape.Entries, share => progress?.Invoke((first + share) / stages));
            for (int i = 0; i < rest.Length; i++) rest[i] -= points[s][nearest[i / d] * d + i % d];
        }
        if (_shape.Additive) AdditiveCode.Refine(d, vectors, weights, points, AdditiveRounds, options.Threads);
        return points;
    }

    /// <summary>A power of two as an F32 scale, then the entries over it as halves: the largest is near 2^13, so none overflows and few are denormal.</summary>
    private static byte[] Store(float[][] points)
    {
        float largest = points.Max(p => p.Length == 0 ? 0 : p.Max(Math.Abs));
        float scale = largest > 1e-30f ? MathF.ScaleB(1, MathF.ILogB(largest) - 13) : 1;
        var shared = new byte[sizeof(float) + 2 * points.Sum(p => p.Length)];
        MemoryMarshal.Write(shared, scale);
        Span<Half> halves = MemoryMarshal.Cast<byte, Half>(shared.AsSpan(sizeof(float)));
        int at = 0;
        foreach (float[] codebook in points)
            foreach (float c in codebook) halves[at++] = (Half)(c / scale);
        return shared;
    }
}
