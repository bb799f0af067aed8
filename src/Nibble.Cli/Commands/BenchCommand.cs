using System.CommandLine;
using System.Globalization;
using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
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

    private readonly Option<int> _batch = new("--batch")
    {
        Description = "Measure this many sequences decoded together too, each after the prompt.",
        HelpName = "N",
        DefaultValueFactory = _ => 1,
    };

    private readonly DecoderSettings _decoder = new();

    public BenchCommand() : base("bench", "Measure the speed of prefill and decoding, beside what the memory could give.",
        "nibble bench", "nibble bench model.gguf --prompt 512 --generate 128 --repeat 5 --threads 4",
        "nibble bench model.gguf --prompt 64 --generate 32 --batch 16")
    {
        Add(_model);
        AddOptions([_prompt, _generate, _repeat, _batch, .. _decoder.Options]);
    }

    protected override void Execute(Invocation run)
    {
        (int prompt, int generate, int repeat, int batch) = (run.Get(_prompt), run.Get(_generate), run.Get(_repeat), run.Get(_batch));
        if (prompt < 1 || generate < 1 || repeat < 1 || batch < 1)
            throw new UnusableInputException("--prompt, --generate, --repeat and --batch must be at least 1");
        if ((long)prompt + generate > Array.MaxLength) throw new UnusableInputException($"--prompt and --generate: together at most {Array.MaxLength} tokens");
        DecoderOptions options = _decoder.Read(run, fast: true);
        using WorkerPool pool = run.NewPool();
        using ModelSource source = ModelSource.Open(ModelPath.Resolve(run.Get(_model)));
        source.CheckPredicts();
        using var model = new DecoderModel(source, pool, options);
        _decoder.Calibrate(run, model, source, options);
        if ((long)batch * model.Config.Vocabulary > Array.MaxLength)
            throw new UnusableInputException($"--batch {batch}: the logits of so many sequences do not fit one array; at most {Array.MaxLength / model.Config.Vocabulary} of this model do");
        var speed = new SpeedTest(model, prompt, generate);
        bool inPairs = model.LinearsAndHead.Any(l => l.InputRounding?.MakesPairs(l.Weight, prompt) == true);
        bool inIntegers = !inPairs && model.LinearsAndHead.All(l => l.InputRounding is null or { HasCodes: true });
        BenchResult result = run.Terminal.Measure("measuring", batch > 1 ? 2 * repeat : repeat, "runs", meter =>
        {
            // Limits before and after: other programs may slow the machine for a while.
            double bandwidth = ReadBandwidth.Measure(pool), peak = Int8Peak.Measure(pool);
            model.PackFloats();
            IReadOnlyList<Speed> speeds = speed.Run(repeat, done => meter.Done = done, run.Cancellation);
            (bandwidth, peak) = (Math.Max(bandwidth, ReadBandwidth.Measure(pool)), Math.Max(peak, Int8Peak.Measure(pool)));
            IReadOnlyList<double>? together = batch == 1 ? null : speed.RunBatch(batch, repeat, done => meter.Done = repeat + done, run.Cancellation);
            return BenchResult.Of(source, speeds, bandwidth, peak, pool.Workers, prompt, generate, inIntegers, SavedBytesOf(model)) with
            {
                Activations = DecoderSettings.NameOfActivations(options, model),
                Kv = DecoderSettings.NameOfCache(options),
                KvBytes = speed.CacheBytes,
                Batch = batch,
                BatchDecodeTokensPerSecond = together,
            };
        });
        run.Print(result, ResultJson.Written.BenchResult, r => Print(r, inPairs, run.Terminal));
    }

    private static void Print(BenchResult r, bool inPairs, Terminal terminal)
    {
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumn("").AddColumn(new TableColumn("tokens a second").RightAligned()).AddColumn("of each run");
        table.AddRow($"prefill {r.Prompt}", Runs([Median(r.PrefillTokensPerSecond)]), Runs(r.PrefillTokensPerSecond));
        table.AddRow($"decode {r.Generate}", Runs([Median(r.DecodeTokensPerSecond)]), Runs(r.DecodeTokensPerSecond));
        if (r.BatchDecodeTokensPerSecond is { } together) table.AddRow($"decode {r.Generate}, {r.Batch} together", Runs([Median(together)]), Runs(together));
        terminal.Write(table);
        terminal.Markup(string.Create(CultureInfo.InvariantCulture,
            $"  {Quantity.Bytes(r.WeightBytes)} of weights a token{(r.ReadBytes != r.WeightBytes ? $", held in {Quantity.Bytes(r.ReadBytes)}" : "")}, memory gives {Quantity.Bytes(r.ReadBandwidthBytesPerSecond)} a second: "
            + $"decoding uses {100 * r.BandwidthShare:F0} % of that ({r.Threads} threads)"));
        terminal.Markup(string.Create(CultureInfo.InvariantCulture, $"  The processor gives {r.Int8OperationsPerSecond / 1e9:F0} G operations a second on 8-bit integers: ")
            + (r.ArithmeticShare is { } share ? string.Create(CultureInfo.InvariantCulture, $"prefill uses {100 * share:F0} % of that") : $"this model is multiplied in {(inPairs ? "pairs of bfloat16" : "float32")}"));
    }

    /// <summary>What a token need not read of weights that are held in fewer bits than they are stored in; below zero where they are held in more.</summary>
    private static long SavedBytesOf(DecoderModel model)
    {
        IEnumerable<Weight> weights = model.LinearsAndHead.Select(l => l.Weight).Distinct();
        double used = BenchResult.UsedShare(model.Config);
        return (long)weights.Sum(w => (w.Bytes - w.BytesHeld) * (w.Name.Contains("_exps", StringComparison.Ordinal) ? used : 1));
    }

    private static string Runs(IReadOnlyList<double> speeds) => string.Join("  ", speeds.Select(s => s.ToString("F1", CultureInfo.InvariantCulture)));

    internal static double Median(IReadOnlyList<double> values) => values.Order().ElementAt(values.Count / 2);
}

internal sealed record BenchResult(
    IReadOnlyList<double> PrefillTokensPerSecond, IReadOnlyList<double> DecodeTokensPerSecond, long WeightBytes,
    double ReadBandwidthBytesPerSecond, double BandwidthShare, int Threads, int Prompt, int Generate)
{
    public double Int8OperationsPerSecond { get; init; }

    /// <summary>What a token reads of the weights, as they are held: in fewer bits than they are stored in, or in more.</summary>
    public long ReadBytes { get; init; }

    /// <summary>What the products of prefill use of it; null where some matrices are multiplied in floats.</summary>
    public double? ArithmeticShare { get; init; }
    public string? Activations { get; init; }
    public string Kv { get; init; } = "";
    public long KvBytes { get; init; }

    /// <summary>Sequences that were decoded together, and the tokens a second of all of them; null where they were not asked for.</summary>
    public int Batch { get; init; }
    public IReadOnlyList<double>? BatchDecodeTokensPerSecond { get; init; }

    public static BenchResult Of(
        ModelSource source, IReadOnlyList<Speed> speeds, double bandwidth, double peak, int threads, int prompt, int generate, bool inIntegers, long saved)
    {
        double[] prefill = [.. speeds.Select(s => s.Prefill)], decode = [.. speeds.Select(s => s.Decode)];
        long bytes = WeightBytesOf(source);
        return new BenchResult(prefill, decode, bytes, bandwidth, BenchCommand.Median(decode) * (bytes - saved) / bandwidth, threads, prompt, generate)
        {
            ReadBytes = bytes - saved,
            Int8OperationsPerSecond = peak,
            ArithmeticShare = inIntegers ? 2 * ProductsOf(source, prompt) * BenchCommand.Median(prefill) / prompt / peak : null,
        };
    }

    /// <summary>Products of weights and inputs that a prompt needs: the head meets its last token only.</summary>
    private static double? ProductsOf(ModelSource source, int prompt)
    {
        double products = 0;
        string head = source.Config.TiedHead ? "token_embd.weight" : "output.weight";
        foreach (ModelTensor tensor in source.Tensors.Values)
        {
            if (tensor.IsVector || (tensor.Name == "token_embd.weight" && tensor.Name != head)) continue;
            if (!PackedMatrix.CanPack(tensor.Format)) return null;
            products += UsedShare(source, tensor) * tensor.Experts * tensor.Rows * tensor.Columns * (tensor.Name == head ? 1 : prompt);
        }
        return products;
    }

    /// <summary>The share of a tensor's experts that a token uses; 1 for others.</summary>
    private static double UsedShare(ModelSource source, ModelTensor tensor) =>
        tensor.Experts > 1 ? UsedShare(source.Config) : 1;

    /// <summary>The share of the experts that a token uses, where there are any; else 1.</summary>
    public static double UsedShare(ModelConfig config) => config.Experts is { } experts ? (double)experts.Used / experts.Count : 1;

    /// <summary>Bytes of the weights that one token needs: all, but for the rows of the embedding and the experts it does not use.</summary>
    public static long WeightBytesOf(ModelSource source)
    {
        double bytes = 0;
        foreach (ModelTensor tensor in source.Tensors.Values)
        {
            if (tensor.Name == "token_embd.weight" && !source.Config.TiedHead) continue;
            bytes += UsedShare(source, tensor) * tensor.Stored.Sum(t => t.BytesWithTable);
        }
        return (long)bytes;
    }
}
