namespace Nibble.Core.Formats;

/// <summary>Sums of one entry from each of several codebooks (Babenko and Lempitsky, CVPR 2014): codes by beam search, codebooks by turns.</summary>
internal static class AdditiveCode
{
    /// <summary>Partial sums that are kept from stage to stage.</summary>
    private const int Beam = 8;

    [ThreadStatic]
    private static float[]? t_scores;

    /// <summary>
    /// The codes whose entries add up nearest to x that a beam finds: the best partial sums of each stage go on to the next.
    /// </summary>
    /// <param name="x">The vector.</param>
    /// <param name="weight">How much each dimension's square counts, or empty.</param>
    /// <param name="stages">The codebooks, 8 at most.</param>
    /// <param name="codes">One a stage.</param>
    public static void Search(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, ReadOnlySpan<Codebook> stages, Span<int> codes)
    {
        // Partial sums: the codes so far and what they leave of x.
        int d = x.Length, count = 1;
        Span<int> paths = stackalloc int[Beam * stages.Length], nextPaths = stackalloc int[paths.Length], origins = stackalloc int[Beam];
        Span<float> rests = stackalloc float[Beam * d], nextRests = stackalloc float[Beam * d], kept = stackalloc float[Beam];
        int padded = (stages[0].Entries + 7) / 8 * 8;
        float[] scores = t_scores is { } buffer && buffer.Length >= padded ? buffer : t_scores = new float[padded];
        x.CopyTo(rests);
        for (int s = 0; s < stages.Length; s++)
        {
            var best = new Best(kept, origins);
            for (int p = 0; p < count; p++)
            {
                ReadOnlySpan<float> rest = rests.Slice(p * d, d);
                stages[s].Scores(rest, weight, scores);
                best.Offer(scores.AsSpan(0, stages[s].Entries), Power(rest, weight), p);
            }
            for (int n = 0; n < best.Count; n++)
            {
                (int from, int code) = (best[n] % Beam, best[n] / Beam);
                paths.Slice(from * stages.Length, s).CopyTo(nextPaths[(n * stages.Length)..]);
                nextPaths[n * stages.Length + s] = code;
                ReadOnlySpan<float> entry = stages[s][code];
                for (int j = 0; j < d; j++) nextRests[n * d + j] = rests[from * d + j] - entry[j];
            }
            nextPaths.CopyTo(paths);
            nextRests.CopyTo(rests);
            count = best.Count;
        }
        paths[..stages.Length].CopyTo(codes);
    }

    /// <summary>
    /// Improves codebooks together, by turns: codes for all vectors under the codebooks, then each codebook's entries to the
    /// mean of what the others leave of their vectors.
    /// </summary>
    /// <param name="dimension">Of a vector.</param>
    /// <param name="vectors">Vector by vector.</param>
    /// <param name="weights">As long as the vectors, or empty.</param>
    /// <param name="points">The codebooks, entry by entry; overwritten.</param>
    /// <param name="rounds">Turns.</param>
    /// <param name="threads">0 means one a core.</param>
    public static void Refine(int dimension, float[] vectors, float[] weights, float[][] points, int rounds, int threads)
    {
        int count = vectors.Length / dimension, stages = points.Length;
        var codes = new int[count * stages];
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = threads > 0 ? threads : Environment.ProcessorCount };
        for (int round = 0; round < rounds; round++)
        {
            Codebook[] codebooks = [.. points.Select(p => new Codebook(dimension, p))];
            Parallel.For(0, count, parallel, v => Search(
                vectors.AsSpan(v * dimension, dimension), weights.Length == 0 ? default : weights.AsSpan(v * dimension, dimension),
                codebooks, codes.AsSpan(v * stages, stages)));
            for (int s = 0; s < stages; s++) Average(dimension, vectors, weights, points, codes, s);
        }
    }

    /// <summary>The entries of one stage to the weighted means, dimension by dimension.</summary>
    private static void Average(int dimension, float[] vectors, float[] weights, float[][] points, int[] codes, int stage)
    {
        float[] own = points[stage];
        double[] sum = new double[own.Length], total = new double[own.Length];
        for (int i = 0; i < vectors.Length; i++)
        {
            int v = i / dimension, j = i % dimension;
            double rest = vectors[i];
            for (int s = 0; s < points.Length; s++)
                if (s != stage) rest -= points[s][codes[v * points.Length + s] * dimension + j];
            int at = codes[v * points.Length + stage] * dimension + j;
            double weight = weights.Length == 0 ? 1 : weights[i];
            sum[at] += weight * rest;
            total[at] += weight;
        }
        for (int i = 0; i < own.Length; i++)
            if (total[i] > 0) own[i] = (float)(sum[i] / total[i]);
    }

    private static float Power(ReadOnlySpan<float> x, ReadOnlySpan<float> weight)
    {
        float sum = 0;
        for (int j = 0; j < x.Length; j++) sum += x[j] * x[j] * (weight.IsEmpty ? 1 : weight[j]);
        return sum;
    }

    /// <summary>The least scores so far in ascending order, each with its code times the beam plus the partial sum it goes on from.</summary>
    private ref struct Best(Span<float> scores, Span<int> origins)
    {
        private readonly Span<float> _scores = scores;
        private readonly Span<int> _origins = origins;

        public int Count { get; private set; }
        public readonly int this[int at] => _origins[at];

        public void Offer(ReadOnlySpan<float> scores, float own, int from)
        {
            for (int k = 0; k < scores.Length; k++)
            {
                float score = own + scores[k];
                if (Count == Beam && !(score < _scores[Beam - 1])) continue;
                int at = Count < Beam ? Count++ : Beam - 1;
                for (; at > 0 && score < _scores[at - 1]; at--) (_scores[at], _origins[at]) = (_scores[at - 1], _origins[at - 1]);
                (_scores[at], _origins[at]) = (score, k * Beam + from);
            }
        }
    }
}
