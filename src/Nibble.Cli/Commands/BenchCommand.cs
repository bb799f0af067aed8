using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Measures speed.</summary>
internal sealed class BenchCommand : Verb
{
    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<int> _prompt = new("--prompt") { Description = "Tokens of the prompt.", HelpName = "N", DefaultValueFactory = _ => 512 };
    private readonly Option<int> _generate = new("--generate") { Description = "Tokens to generate, one at a time.", HelpName = "N", DefaultValueFactory = _ => 128 };
    private readonly Option<int> _repeat = new("--repeat") { Description = "How often to measure.", HelpName = "N", DefaultValueFactory = _ => 3 };

    private readonly DecoderSettings _decoder = new();

    public BenchCommand() : base("bench", "Measure the speed of prefill and decoding, beside what the memory could give.",
        "nibble bench", "nibble bench model.gguf --prompt 512 --generate 128 --repeat 5 --threads 4")
    {
        Add(_model);
        AddOptions([_prompt, _generate, _repeat, .. _decoder.Options]);
    }

    protected override void Execute(Invocation run)
    {
        (int prompt, int generate, int repeat) = (run.Get(_prompt), run.Get(_generate), run.Get(_repeat));
        if (prompt < 1 || generate < 1 || repeat < 1) throw new UnusableInputException("--prompt, --generate and --repeat must be at least 1");
        DecoderOptions options = _decoder.Read(run);
        using WorkerPool pool = run.NewPool();
        using ModelSource source = ModelSource.Open(ModelPath.Resolve(run.Get(_model)));
        using var model = new DecoderModel(source, pool, options);
        _decoder.Calibrate(run, model, source, options);
        var speed = new SpeedTest(model, prompt, generate);
        BenchResult result = run.Terminal.Measure("measuring", repeat, "runs", meter =>
        {
            // Bandwidth before and after: other programs may slow the machine for a while.
            double bandwidth = ReadBandwidth.Measure(pool);
            IReadOnlyList<Speed> speeds = speed.Run(repeat, done => meter.Done = done, run.Cancellation);
            bandwidth = Math.Max(bandwidth, ReadBandwidth.Measure(pool));
            return BenchResult.Of(source, speeds, bandwidth, pool.Workers, prompt, generate) with
            {
                Activations = DecoderSettings.NameOfActivations(options),
                Kv = DecoderSettings.NameOfCache(options),
                KvBytes = speed.CacheBytes,
            };
        });
        run.Print(result, ResultJson.Written.BenchResult, r => Print(r, run.Terminal));
    }

    private static void Print(BenchResult r, Terminal terminal)
    {
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumn("").AddColumn(new TableColumn("tokens a second").RightAligned()).AddColumn("of each run");
        table.AddRow($"prefill {r.Prompt}", Runs([Median(r.PrefillTokensPerSecond)]), Runs(r.PrefillTokensPerSecond));
        table.AddRow($"decode {r.Generate}", Runs([Median(r.DecodeTokensPerSecond)]), Runs(r.DecodeTokensPerSecond));
        terminal.Write(table);
        terminal.Markup(string.Create(CultureInfo.InvariantCulture,
            $"  {Quantity.Bytes(r.WeightBytes)} of weights a token, memory gives {Quantity.Bytes(r.ReadBandwidthBytesPerSecond)} a second: "
            + $"decoding uses {100 * r.BandwidthShare:F0} % of that ({r.Threads} threads)"));
    }

    private static string Runs(IReadOnlyList<double> speeds) => string.Join("  ", speeds.Select(s => s.ToString("F1", CultureInfo.InvariantCulture)));

    internal static double Median(IReadOnlyList<double> values) => values.Order().ElementAt(values.Count / 2);
}

/// <summary>Tokens a second of one run.</summary>
internal readonly record struct Speed(double Prefill, double Decode);

/// <summary>Times a prompt and the tokens after it, as a text would run, without its tokenizer and sampler.</summary>
internal sealed class SpeedTest(DecoderModel model, int prompt, int generate)
{
    /// <summary>The compiler makes a kernel fast after it has run a while; what runs before is not measured.</summary>
    private const double WarmUpSeconds = 1;

    /// <summary>Memory of keys and values in the last run.</summary>
    public long CacheBytes { get; private set; }

    /// <param name="repeat">Measured runs; at least one more before them warms up.</param>
    /// <param name="progress">Told the share of the runs that is done, in runs.</param>
    /// <param name="cancellation">Looked at before every token.</param>
    public IReadOnlyList<Speed> Run(int repeat, Action<double> progress, CancellationToken cancellation)
    {
        var logits = new float[model.Config.Vocabulary];
        // The same tokens every time, from all over the vocabulary.
        int[] tokens = [.. Enumerable.Range(0, prompt + generate).Select(i => (int)(i * 7919L % model.Config.Vocabulary))];
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
}

internal sealed record BenchResult(
    IReadOnlyList<double> PrefillTokensPerSecond, IReadOnlyList<double> DecodeTokensPerSecond, long WeightBytes,
    double ReadBandwidthBytesPerSecond, double BandwidthShare, int Threads, int Prompt, int Generate)
{
    public string? Activations { get; init; }
    public string Kv { get; init; } = "";
    public long KvBytes { get; init; }

    public static BenchResult Of(ModelSource source, IReadOnlyList<Speed> speeds, double bandwidth, int threads, int prompt, int generate)
    {
        double[] decode = [.. speeds.Select(s => s.Decode)];
        long bytes = WeightBytesOf(source);
        return new BenchResult(
            [.. speeds.Select(s => s.Prefill)], decode, bytes, bandwidth, BenchCommand.Median(decode) * bytes / bandwidth, threads, prompt, generate);
    }

    /// <summary>Bytes of the weights that one token needs: all, but for the rows of the embedding and the experts it does not use.</summary>
    public static long WeightBytesOf(ModelSource source)
    {
        double bytes = 0;
        foreach (ModelTensor tensor in source.Tensors.Values)
        {
            if (tensor.Name == "token_embd.weight" && !source.Config.TiedHead) continue;
            double share = tensor.Experts > 1 && source.Config.Experts is { } experts ? (double)experts.Used / experts.Count : 1;
            bytes += share * tensor.Stored.Sum(t => t.BytesWithTable);
        }
        return (long)bytes;
    }
}
