using System.Diagnostics;
using Nibble.Models.Decoder;

namespace Nibble.Cli.Commands;

/// <summary>Tokens a second of one run.</summary>
internal readonly record struct Speed(double Prefill, double Decode);

/// <summary>Times a prompt and the tokens after it, as a text would run, without its tokenizer and sampler.</summary>
internal sealed class SpeedTest(DecoderModel model, int prompt, int generate)
{
    /// <summary>The compiler makes a kernel fast after it has run a while; what runs before is not measured.</summary>
    private const double WarmUpSeconds = 1;

    /// <summary>Tokens that warm sequences up which are decoded together.</summary>
    private const int WarmUpTokens = 4;

    // The same tokens every time, from all over the vocabulary.
    private readonly int[] _tokens = [.. Enumerable.Range(0, prompt + generate).Select(i => (int)(i * 7919L % model.Config.Vocabulary))];

    /// <summary>Memory of keys and values of a sequence.</summary>
    public long CacheBytes { get; private set; }

    /// <param name="repeat">Measured runs; at least one more before them warms up.</param>
    /// <param name="progress">Told the share of the runs that is done, in runs.</param>
    /// <param name="cancellation">Looked at before every token.</param>
    public IReadOnlyList<Speed> Run(int repeat, Action<double> progress, CancellationToken cancellation)
    {
        var logits = new float[model.Config.Vocabulary];
        int[] tokens = _tokens;
        using KvCache cache = model.NewCache(tokens.Length);
        CacheBytes = cache.Bytes;
        var speeds = new List<Speed>();
        long begun = Stopwatch.GetTimestamp();
        for (int r = 0; r < repeat;)
        {
            bool warm = Stopwatch.GetElapsedTime(begun).TotalSeconds > WarmUpSeconds;
            cache.Clear();
            cancellation.ThrowIfCancellationRequested();
            long started = Stopwatch.GetTimestamp();
            model.Forward(tokens.AsSpan(0, prompt), cache, logits, LogitPositions.Last);
            double prefill = Stopwatch.GetElapsedTime(started).TotalSeconds;
            started = Stopwatch.GetTimestamp();
            for (int t = prompt; t < tokens.Length; t++)
            {
                cancellation.ThrowIfCancellationRequested();
                model.Forward(tokens.AsSpan(t, 1), cache, logits, LogitPositions.Last);
                if (warm) progress(r + (t + 1.0) / tokens.Length);
            }
            double decode = Stopwatch.GetElapsedTime(started).TotalSeconds;
            if (!warm) continue;
            speeds.Add(new Speed(prompt / prefill, generate / decode));
            r++;
        }
        return speeds;
    }

    /// <summary>Tokens a second of sequences that are decoded together, all of them counted, each after a prompt of its own.</summary>
    /// <param name="sequences">At least one, and few enough for one array to hold the logits of all.</param>
    /// <param name="repeat">Measured runs, after one of a few tokens that warms up.</param>
    /// <param name="progress">Told the share of the runs that is done, in runs.</param>
    /// <param name="cancellation">Looked at before every token.</param>
    public IReadOnlyList<double> RunBatch(int sequences, int repeat, Action<double> progress, CancellationToken cancellation)
    {
        var caches = new KvCache[sequences];
        try
        {
            for (int s = 0; s < sequences; s++) caches[s] = model.NewCache(_tokens.Length);
            return RunBatch(caches, repeat, progress, cancellation);
        }
        finally
        {
            // The last ones are missing where memory did not suffice.
            foreach (KvCache? cache in caches) cache?.Dispose();
        }
    }

    private double[] RunBatch(KvCache[] caches, int repeat, Action<double> progress, CancellationToken cancellation)
    {
        var logits = new float[caches.Length * model.Config.Vocabulary];
        var speeds = new double[repeat];
        for (int r = -1; r < repeat; r++)
        {
            foreach (KvCache cache in caches)
            {
                cancellation.ThrowIfCancellationRequested();
                cache.Clear();
                model.Forward(_tokens.AsSpan(0, prompt), cache, [], LogitPositions.None);
            }
            int count = r < 0 ? Math.Min(WarmUpTokens, generate) : generate;
            double seconds = Decode(caches, logits, count, cancellation);
            if (r < 0) continue;
            speeds[r] = (double)caches.Length * count / seconds;
            progress(r + 1);
        }
        return speeds;
    }

    private double Decode(KvCache[] caches, float[] logits, int count, CancellationToken cancellation)
    {
        var next = new int[caches.Length];
        long started = Stopwatch.GetTimestamp();
        for (int t = prompt; t < prompt + count; t++)
        {
            cancellation.ThrowIfCancellationRequested();
            Array.Fill(next, _tokens[t]);
            model.Forward(next, caches, logits);
        }
        return Stopwatch.GetElapsedTime(started).TotalSeconds;
    }
}
