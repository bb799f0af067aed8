namespace Nibble.Core.Formats;

/// <summary>
/// Trains a codebook: k-means++ (Arthur and Vassilvitskii, 2007), then Lloyd's iterations, each dimension of a vector counting
/// by its weight. The same seed gives the same codebook on any number of threads: threads share the vectors when they look
/// for the nearest entry and the entries when they average, and neither sum depends on where the shares end.
/// </summary>
/// <param name="dimension">2, 4 or 8.</param>
/// <param name="vectors">Vector by vector.</param>
/// <param name="weights">As long as the vectors, or empty.</param>
/// <param name="options">Seed and threads.</param>
internal sealed class KMeans(int dimension, float[] vectors, float[] weights, LearnOptions options)
{
    private const int MostIterations = 20;
    private const int Share = 1024;

    /// <summary>Beyond so many entries the first are drawn at random: k-means++ takes a pass over its sample for each.</summary>
    private const int MostCarefulEntries = 2048;
    private const int SampleAnEntry = 16;

    private readonly int _count = vectors.Length / dimension;
    private readonly int[] _nearest = new int[vectors.Length / dimension];
    private readonly ParallelOptions _threads = new() { MaxDegreeOfParallelism = options.Threads > 0 ? options.Threads : Environment.ProcessorCount };
    private ulong _random = options.Seed;

    /// <summary>The trained points, and the entry nearest to each vector.</summary>
    /// <param name="entries">How many points; those that there are no vectors for are zeros.</param>
    /// <param name="progress">From 0 to 1.</param>
    public (float[] Points, int[] Nearest) Train(int entries, Action<double>? progress)
    {
        var points = new float[entries * dimension];
        if (_count <= entries)
        {
            vectors.CopyTo(points, 0);
            for (int v = 0; v < _count; v++) _nearest[v] = v;
            return (points, _nearest);
        }
        Start(points, entries);
        double before = double.PositiveInfinity;
        for (int iteration = 0; iteration < MostIterations; iteration++)
        {
            double error = Assign(points);
            progress?.Invoke((iteration + 1.0) / MostIterations);
            if (error == 0 || error > before * (1 - 2e-4)) break;
            before = error;
            Average(points, entries);
        }
        Assign(points);
        progress?.Invoke(1);
        return (points, _nearest);
    }

    private ReadOnlySpan<float> Vector(int v) => vectors.AsSpan(v * dimension, dimension);
    private ReadOnlySpan<float> Weight(int v) => weights.Length == 0 ? default : weights.AsSpan(v * dimension, dimension);

    private double Distance(int v, ReadOnlySpan<float> point)
    {
        ReadOnlySpan<float> x = Vector(v), weight = Weight(v);
        double sum = 0;
        for (int j = 0; j < x.Length; j++)
        {
            double difference = (double)x[j] - point[j];
            sum += difference * difference * (weight.IsEmpty ? 1 : weight[j]);
        }
        return sum;
    }

    /// <summary>The next number of SplitMix64 (Steele, Lea, Flood, 2014), in [0, 1).</summary>
    private double NextDouble()
    {
        ulong z = _random += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1ul << 53));
    }

    /// <summary>First points: vectors of a sample, each with a chance that grows with its distance from those before.</summary>
    private void Start(float[] points, int entries)
    {
        int[] sample = Sample(entries);
        if (entries > MostCarefulEntries)
        {
            for (int k = 0; k < entries; k++) Vector(sample[k]).CopyTo(points.AsSpan(k * dimension));
            return;
        }
        var distance = new double[sample.Length];
        Array.Fill(distance, double.PositiveInfinity);
        int chosen = (int)(NextDouble() * sample.Length);
        for (int k = 0; k < entries; k++)
        {
            float[] point = Vector(sample[chosen]).ToArray();
            point.CopyTo(points, k * dimension);
            Parallel.For(0, (sample.Length + Share - 1) / Share, _threads, share =>
            {
                for (int i = share * Share; i < Math.Min(sample.Length, (share + 1) * Share); i++)
                    distance[i] = Math.Min(distance[i], Distance(sample[i], point));
            });
            chosen = Draw(distance);
        }
    }

    /// <summary>Different vectors in an order that the seed decides.</summary>
    private int[] Sample(int entries)
    {
        int[] order = [.. Enumerable.Range(0, _count)];
        int wanted = (int)Math.Min(_count, (long)entries * SampleAnEntry);
        for (int i = 0; i < wanted; i++)
        {
            int other = i + (int)(NextDouble() * (_count - i));
            (order[i], order[other]) = (order[other], order[i]);
        }
        return order[..wanted];
    }

    private int Draw(double[] chance)
    {
        double left = NextDouble() * chance.Sum();
        for (int i = 0; i < chance.Length; i++)
            if ((left -= chance[i]) < 0) return i;
        return chance.Length - 1;
    }

    /// <summary>Finds the entry nearest to every vector; returns the sum of squared distances.</summary>
    private double Assign(float[] points)
    {
        var codebook = new Codebook(dimension, points);
        var errors = new double[(_count + Share - 1) / Share];
        Parallel.For(0, errors.Length, _threads, share =>
        {
            double sum = 0;
            for (int v = share * Share; v < Math.Min(_count, (share + 1) * Share); v++)
            {
                _nearest[v] = weights.Length == 0 ? codebook.Nearest(Vector(v)) : codebook.Nearest(Vector(v), Weight(v));
                sum += Distance(v, codebook[_nearest[v]]);
            }
            errors[share] = sum;
        });
        return errors.Sum();
    }

    /// <summary>Moves every entry to the mean of its vectors, and an entry without any to the vector that is served worst.</summary>
    private void Average(float[] points, int entries)
    {
        (int[] start, int[] members) = Members(entries);
        Parallel.For(0, (entries + 15) / 16, _threads, share =>
        {
            for (int k = share * 16; k < Math.Min(entries, (share + 1) * 16); k++)
                Mean(members.AsSpan(start[k]..start[k + 1]), points.AsSpan(k * dimension, dimension));
        });
        int[] empty = [.. Enumerable.Range(0, entries).Where(k => start[k] == start[k + 1])];
        if (empty.Length == 0) return;
        var error = new double[_count];
        for (int v = 0; v < _count; v++) error[v] = -Distance(v, points.AsSpan(_nearest[v] * dimension, dimension));
        int[] worst = [.. Enumerable.Range(0, _count)];
        Array.Sort(error, worst);
        for (int i = 0; i < empty.Length; i++) Vector(worst[i]).CopyTo(points.AsSpan(empty[i] * dimension));
    }

    /// <summary>The vectors of each entry, in their order: those of entry k stand from start[k] to start[k + 1].</summary>
    private (int[] Start, int[] Members) Members(int entries)
    {
        var start = new int[entries + 1];
        foreach (int k in _nearest) start[k + 1]++;
        for (int k = 0; k < entries; k++) start[k + 1] += start[k];
        int[] next = start[..entries], members = new int[_count];
        for (int v = 0; v < _count; v++) members[next[_nearest[v]]++] = v;
        return (start, members);
    }

    /// <summary>The weighted mean of vectors, dimension by dimension; the point stays where all weights are zero.</summary>
    private void Mean(ReadOnlySpan<int> members, Span<float> point)
    {
        for (int j = 0; j < dimension; j++)
        {
            double sum = 0, total = 0;
            foreach (int v in members)
            {
                double weight = weights.Length == 0 ? 1 : weights[v * dimension + j];
                sum += weight * vectors[v * dimension + j];
                total += weight;
            }
            if (total > 0) point[j] = (float)(sum / total);
        }
    }
}
