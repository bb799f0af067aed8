// Makes docs/results-training.md: nearest rounding, GPTQ and quantization-aware training of models/nibble-5m, side by side.
//
//   dotnet build src/Nibble.Training -c Release
//   dotnet run -c Release docs/make-training-results.cs -- CALIBRATION-TEXT EVALUATION-TEXT [--minutes 15] [--chunks 40] [--formats Linear2,...] [--work FOLDER]
//
// A format that was trained before (its folder is in --work) is not trained again, so the run can be done in pieces.
#:project ../src/Nibble.Quantization/Nibble.Quantization.csproj
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Methods;

const int Context = 512, CalibrationTexts = 32;
string root = Environment.CurrentDirectory, model = Path.Combine(root, "models", "nibble-5m");
string work = Option("--work", Path.Combine(Path.GetTempPath(), "nibble-training-results"));
string minutes = Option("--minutes", "15");
string[] formats = Option("--formats", "Linear2,Linear3,Linear4,TQ2_0").Split(',');
if (args.Length < 2 || !Directory.Exists(model)) throw new UnusableInputException("run it from the repository's root, with a text to calibrate on and one to evaluate on");
(string calibration, string evaluation) = (args[0], args[1]);
Directory.CreateDirectory(work);

using var pool = new WorkerPool(2);
Tokenizer tokenizer = Tokenizer.FromFolder(model);
EvaluationText text = EvaluationText.Of(File.ReadAllText(evaluation), tokenizer, Context, int.Parse(Option("--chunks", "40"), CultureInfo.InvariantCulture));
using ModelSource source = ModelSource.Open(model);
using var reference = new DecoderModel(source, pool);
double exact = Measure(reference).Model.Value;
var lines = new List<string>();
foreach (string name in formats)
{
    Format format = Format.Parse(name);
    EvaluationResult nearest = WithWeights(format, gptq: false), gptq = WithWeights(format, gptq: true);
    (EvaluationResult trained, JsonElement run) = Train(name);
    double closed = (nearest.Model.Value - trained.Model.Value) / (nearest.Model.Value - exact);
    lines.Add(Line($"| {name} | {nearest.Model.Value:F2} | {nearest.Divergence!.Mean:F4} | {gptq.Model.Value:F2} | {gptq.Divergence!.Mean:F4} | {trained.Model.Value:F2} | {trained.Divergence!.Mean:F4} | {100 * closed:F0} % | {run.GetProperty("train_seconds").GetDouble() / 60:F1} | {run.GetProperty("steps").GetInt64()} (best {run.GetProperty("best_step").GetInt64()}) |"));
    Console.Error.WriteLine(lines[^1]);
    Write();
}

EvaluationResult Measure(DecoderModel decoder)
{
    using var evaluator = new Evaluator(decoder, reference, text, pool);
    return evaluator.Run();
}

// The body in the format, by nearest rounding or GPTQ; the embedding, which is the head too, in Q6_K as in training.
EvaluationResult WithWeights(Format format, bool gptq)
{
    using var rounded = new DecoderModel(source, pool);
    int[] tokens = tokenizer.Encode(File.ReadAllText(calibration), addSpecial: false, parseSpecial: false);
    int[][] texts = [.. tokens.Chunk(Context).Where(c => c.Length == Context).Where((_, i) => i % 16 == 0).Take(CalibrationTexts)];
    using var walk = new LayerWalk(rounded, texts);
    for (int layer = 0; layer < rounded.LayerCount; layer++)
    {
        var probe = new MomentsProbe(pool);
        if (gptq) walk.Probe(layer, probe);
        foreach (Linear linear in rounded.Linears.Where(l => l.Name.StartsWith($"blk.{layer}.", StringComparison.Ordinal)))
        {
            Weight target = Weight.Allocate(linear.Name, format, linear.Weight.Rows, linear.Weight.Columns);
            if (gptq) Gptq.Quantize(linear.Weight, target, probe.Of(linear.Name)!, new GptqOptions(), pool);
            else Encode(linear.Weight, target);
            linear.Replace(AsFloats(target));
        }
        if (gptq) walk.Pass(layer);
    }
    return Measure(rounded);
}

void Encode(Weight from, Weight to)
{
    var row = new float[from.Columns];
    for (int r = 0; r < from.Rows; r++)
    {
        from.ReadRow(r, row);
        to.Format.Encode(row, default, to.Row(r));
    }
}

// Float32, so that all three are measured with the same float32 activations.
Weight AsFloats(Weight stored)
{
    Weight floats = Weight.Allocate(stored.Name, FloatFormat.F32, stored.Rows, stored.Columns);
    var row = new float[stored.Columns];
    for (int r = 0; r < stored.Rows; r++)
    {
        stored.ReadRow(r, row);
        floats.Format.Encode(row, default, floats.Row(r));
    }
    return floats;
}

(EvaluationResult Result, JsonElement Run) Train(string name)
{
    string output = Path.Combine(work, name), json = output + ".json";
    if (!File.Exists(json))
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true };
        foreach (string argument in (string[])[Path.Combine(root, "src/Nibble.Training/bin/Release/net10.0/nibble-train.dll"), model, "--to", name, "-o", output,
            "--text", calibration, "--distill", "--minutes", minutes, "--batch", "4", "--context", "256", "--weights-lr", "1e-3", "--evaluate-every", "25", "--patience", "12", "--threads", "2", "--json", "--force"])
            start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        string result = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new UnusableInputException($"training to {name} failed");
        File.WriteAllText(json, result);
    }
    using ModelSource trained = ModelSource.Open(output);
    using var decoder = new DecoderModel(trained, pool);
    return (Measure(decoder), JsonDocument.Parse(File.ReadAllText(json)).RootElement);
}

void Write() => File.WriteAllLines(Path.Combine(root, "docs", "results-training.md"),
[
    "# Quantization-aware training", "",
    Line($"models/nibble-5m (5.77 M weights), perplexity on {Path.GetFileName(evaluation)}, context {Context}, {text.Chunks} chunks, and mean Kullback-Leibler divergence from the original, whose perplexity is {exact:F2}."),
    Line($"Trained on {Path.GetFileName(calibration)} with two threads, distilled from the original's predictions, at most {minutes} minutes each; the last twentieth of the text is held out, and the weights that do best on it are kept."),
    "All matrices of the layers are in the format named; in training the embedding, which is the head too, is in Q6_K as well. `docs/make-training-results.cs` makes this page.", "",
    "| format | nearest: perplexity | KL | GPTQ: perplexity | KL | trained: perplexity | KL | gap closed | minutes | updates |",
    "|---|---|---|---|---|---|---|---|---|---|",
    .. lines,
]);

string Option(string name, string fallback) => Array.IndexOf(args, name) is var at and >= 0 ? args[at + 1] : fallback;

static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
