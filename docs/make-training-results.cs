// Makes docs/training.md: nearest rounding, GPTQ and quantization-aware training of models/nibble-5m, side by side.
//
//   dotnet build src/Nibble.Training -c Release
//   dotnet run docs/make-training-results.cs -- [SHARED] [--chunks 80] [--work FOLDER]
//
// SHARED (default: ../shared) holds data/calib.txt, to calibrate and train on, and data/eval-dev.txt, to measure on. --work
// keeps what was made: a model that is there already is not made again, so the run can be done in pieces.
#:property PublishAot=false
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

string root = Environment.CurrentDirectory, model = Path.Combine(root, "models", "nibble-5m");
string shared = args.Length > 0 && !args[0].StartsWith('-') ? args[0] : Path.Combine(root, "..", "shared");
string calibration = Path.Combine(shared, "data", "calib.txt"), evaluation = Path.Combine(shared, "data", "eval-dev.txt");
string work = Option("--work", Path.Combine(Path.GetTempPath(), "nibble-training-results"));
string chunks = Option("--chunks", "80");
Directory.CreateDirectory(work);

Row[] rows =
[
    new("Linear2", "2 bits, groups of 64", "Linear2", "", "1e-3", "15", "float"),
    new("Linear3", "3 bits, groups of 64", "Linear3", "", "2e-4", "15", "float"),
    new("Linear4", "4 bits, groups of 64", "Linear4", "", "1e-4", "10", "float"),
    new("TQ2_0", "ternary, groups of 256", "TQ2_0", ".gguf", "1e-3", "15", "float"),
    new("W4A8", "Q4_0, inputs in int8 a token", "Q4_0", ".gguf", "1e-4", "10", "int8"),
];
double exact = 0;
var table = new StringBuilder("| | format | bytes | nearest: perplexity | mean KL | GPTQ: perplexity | mean KL | trained: perplexity | mean KL | gap closed |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
var runs = new StringBuilder("| | peak rate | updates | tokens read | minutes | held-out KL before | best, at update | last look | training loss at the end |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
foreach (Row row in rows)
{
    JsonElement nearest = Measure(row, "nearest"), gptq = Measure(row, "gptq"), trained = Measure(row, "trained");
    exact = nearest.GetProperty("reference_perplexity").GetDouble();
    double gap = Perplexity(nearest) - exact, left = Perplexity(trained) - exact;
    JsonElement run = Json(Made(row, "trained") + ".json");
    long bytes = Directory.Exists(Made(row, "trained")) ? new FileInfo(Path.Combine(Made(row, "trained"), "model.safetensors")).Length : new FileInfo(Made(row, "trained")).Length;
    table.AppendLine(Line($"| {row.Name} | {row.What} | {bytes} | {Figures(nearest)} | {Figures(gptq)} | {Figures(trained)} | {100 * (gap - left) / gap:F0} % |"));
    runs.AppendLine(Line($"| {row.Name} | {row.Rate} | {run.GetProperty("steps").GetInt64()} | {run.GetProperty("tokens").GetInt64()} | {run.GetProperty("train_seconds").GetDouble() / 60:F1} | {run.GetProperty("held_out_before").GetDouble():F3} | {run.GetProperty("held_out").GetDouble():F3}, {run.GetProperty("best_step").GetInt64()} | {Last(run, "held_out")} | {Last(run, "loss")} |"));
    Console.Error.WriteLine(row.Name);
}
string page = Path.Combine(root, "docs", "training.md");
string[] before = File.ReadAllLines(page);
File.WriteAllText(page, string.Join('\n', before.TakeWhile(l => l != "<!-- results -->")) + "\n<!-- results -->\n"
    + Line($"The model itself has a perplexity of {exact:F2} on the same {chunks} chunks.\n\n") + table + "\n" + runs
    + string.Join('\n', before.SkipWhile(l => l != "<!-- results end -->")) + "\n");

// What is measured of a model that one way made; made and measured once.
JsonElement Measure(Row row, string way)
{
    string made = Made(row, way), measured = made + ".eval.json";
    if (!File.Exists(made + ".json"))
    {
        string[] command = way switch
        {
            "trained" => ["train", model, "--to", row.Format, "-o", made, "--text", calibration, "--distill", "--minutes", row.Minutes, "--batch", "1", "--context", "512",
                "--weights-lr", row.Rate, "--evaluate-every", "30", "--patience", "8", "--threads", "2", "--force", .. row.Inputs == "float" ? Array.Empty<string>() : ["--activations", row.Inputs]],
            "gptq" => ["quantize", model, "--to", row.Format, "-o", made, "--method", "gptq", "--calibration", calibration, "--force"],
            _ => ["quantize", model, "--to", row.Format, "-o", made, "--force"],
        };
        Nibble(command, made + ".json");
    }
    if (!File.Exists(measured)) Nibble(["eval", made, "--text", evaluation, "--context", "512", "--chunks", chunks, "--reference", model, "--activations", row.Inputs], measured);
    return Json(measured);
}

string Made(Row row, string way) => Path.Combine(work, $"{row.Name}-{way}{row.Suffix}");

void Nibble(string[] command, string result)
{
    var start = new ProcessStartInfo(Path.Combine(root, OperatingSystem.IsWindows() ? "nibble.cmd" : "nibble"), [.. command, "--json"]) { RedirectStandardOutput = true };
    using Process process = Process.Start(start)!;
    string output = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    if (process.ExitCode != 0) throw new InvalidOperationException($"nibble {string.Join(' ', command)} ended with {process.ExitCode}");
    File.WriteAllText(result, output);
}

JsonElement Json(string path) => JsonDocument.Parse(File.ReadAllText(path)).RootElement;

double Perplexity(JsonElement measured) => measured.GetProperty("perplexity").GetDouble();

string Figures(JsonElement measured) => Line($"{Perplexity(measured):F2} | {measured.GetProperty("kld").GetProperty("mean").GetDouble():F4}");

// Of the last look at the held-out text; empty where the run was resumed and made none.
string Last(JsonElement run, string what) =>
    run.GetProperty("curve") is var curve && curve.GetArrayLength() > 0 ? Line($"{curve[curve.GetArrayLength() - 1].GetProperty(what).GetDouble():F3}") : "";

string Option(string name, string fallback) => Array.IndexOf(args, name) is var at and >= 0 ? args[at + 1] : fallback;

static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

// Inputs: how those of the linear layers are rounded, in training and when measured.
internal sealed record Row(string Name, string What, string Format, string Suffix, string Rate, string Minutes, string Inputs);
