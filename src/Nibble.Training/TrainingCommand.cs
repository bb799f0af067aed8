using System.CommandLine;
using System.CommandLine.Help;
using Nibble.Cli;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Training.Quantizers;

namespace Nibble.Training;

/// <summary>The command line of the trainer, which is that of <c>nibble train</c>.</summary>
internal sealed class TrainingCommand : Command
{
    private static readonly TrainingOptions Default = new() { Model = "", To = "", Output = "", Text = "" };

    private readonly Argument<string?> _model = new("MODEL") { Description = "A Hugging Face folder or a .gguf file. [default: the embedded model, nibble-5m]", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string> _to = Text("--to", "The format or recipe to train for: Linear2, TQ2_0, Q4_K_M, ...", "FORMAT");
    private readonly Option<string> _output = new("-o", "--output") { Description = "A .gguf file, or a folder of safetensors.", HelpName = "OUT", Required = true };
    private readonly Option<string> _text = Text("--text", "The UTF-8 text to train on; its last twentieth is held out.", "FILE");
    private readonly Option<string?> _head = new("--head") { Description = "The format of the head and of an embedding tied to it. [default: the recipe's]", HelpName = "FORMAT" };
    private readonly Option<long?> _steps = new("--steps") { Description = "Updates. [default: until the time is up]", HelpName = "N" };
    private readonly Option<double?> _minutes = new("--minutes") { Description = "Minutes of training. [default: 15 where --steps is not given]", HelpName = "M" };
    private readonly Option<int> _batch = Count("--batch", "Texts that pass through the model together.", Default.Batch);
    private readonly Option<int> _accumulate = Count("--accumulate", "Batches an update.", Default.Accumulate);
    private readonly Option<int> _context = new("--context") { Description = "Tokens a text. [default: the model's context, at most 512]", HelpName = "N" };
    private readonly Option<double> _weightRate = Number("--weights-lr", "Peak learning rate of weights.", Default.WeightRate);
    private readonly Option<double> _scaleRate = Number("--scale-lr", "Peak learning rate of scales, relative to each.", Default.ScaleRate);
    private readonly Option<double> _warmUp = Number("--warm-up", "Share of the run in which the rate rises.", Default.WarmUp);
    private readonly Option<RateSchedule> _schedule = Choice("--schedule", "How the rate falls: cosine, or wsd (stable, then a short decay).", Default.Schedule);
    private readonly Option<double> _clip = Number("--clip", "The norm that gradients are cut to.", Default.Clip);
    private readonly Option<double> _decay = Number("--weight-decay", "Decay of weights.", Default.WeightDecay);
    private readonly Option<double> _distill = new("--distill") { Description = "Learn from the full-precision model's predictions; a number from 0 to 1 mixes in the text. [default: 0; 1 where no number follows]", HelpName = "SHARE", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<double> _distillHidden = Number("--distill-hidden", "Weight of the hidden states' distance from the full-precision model's.", 0);
    private readonly Option<TrainedPart> _train = Choice("--train", "all; blocks: layer after layer, each towards the full-precision model's output; or scales alone with the codes fixed.", TrainedPart.All);
    private readonly Option<string?> _activations = new("--activations") { Description = "Round the inputs of linear layers too: int8 or int4 as 'nibble eval' does it, with -tensor by a learned bound, or any format.", HelpName = "KIND" };
    private readonly Option<string?> _cache = new("--kv") { Description = "Round keys and values to this format while training.", HelpName = "FORMAT" };
    private readonly Option<long> _seed = new("--seed") { Description = "Order of the text.", HelpName = "S", DefaultValueFactory = _ => Default.Seed };
    private readonly Option<double> _checkpoint = Number("--checkpoint-minutes", "Minutes between checkpoints.", Default.CheckpointMinutes);
    private readonly Option<int> _evaluate = Count("--evaluate-every", "Updates between looks at the held-out text.", Default.EvaluateEvery);
    private readonly Option<int> _patience = Count("--patience", "Looks without improvement after which training stops; 0 never does.", Default.Patience);
    private readonly Option<bool> _resume = new("--resume") { Description = "Go on from the checkpoint beside the output." };
    private readonly Option<bool> _force = new("--force") { Description = "Replace the output if it exists." };
    private readonly Option<int> _threads = new("--threads") { Description = "Threads to work on; 0 is one a core.", HelpName = "N" };

    public TrainingCommand() : base("train", "Trains a model so that it keeps its quality in few bits.")
    {
        // Its help says how it is called: by the program whose verb it is.
        _ = new Command("nibble") { this };
        Add(new HelpOption());
        Add(new VersionOption());
        Add(_model);
        _to.Required = _text.Required = true;
        foreach (Option option in (Option[])[_to, _output, _text, _head, _steps, _minutes, _batch, _accumulate, _context, _weightRate, _scaleRate,
            _warmUp, _schedule, _clip, _decay, _distill, _distillHidden, _train, _activations, _cache, _seed, _checkpoint, _evaluate, _patience, _resume, _force, _threads, Json])
        {
            ArgumentReader.ReadNumbers(option);
            Add(option);
        }
        ArgumentReader.RefuseOptions(_model);
    }

    public Option<bool> Json { get; } = new("--json") { Description = "Print one JSON object on standard output, and nothing else there." };

    /// <summary>The options of a command line, checked as far as they can be by themselves.</summary>
    /// <exception cref="UnusableInputException">One line says which is wrong.</exception>
    public TrainingOptions Read(ParseResult parsed)
    {
        if (parsed.Errors.Count > 0) throw new UnusableInputException($"{ArgumentReader.Cause(parsed).TrimEnd('.')}; 'nibble train --help' shows what is possible");
        long? steps = parsed.GetValue(_steps);
        double distill = parsed.GetResult(_distill) is { Implicit: false, Tokens.Count: 0 } ? 1 : parsed.GetValue(_distill);
        Require(distill is >= 0 and <= 1, "--distill", "a share from 0 to 1");
        Require(steps is null or > 0, "--steps", "at least 1 update");
        Require(parsed.GetValue(_minutes) is null or > 0, "--minutes", "more than 0 minutes");
        Require(parsed.GetValue(_batch) > 0, "--batch", "at least 1 text");
        Require(parsed.GetValue(_accumulate) > 0, "--accumulate", "at least 1 batch");
        Require(parsed.GetValue(_context) is 0 or >= 8, "--context", "at least 8 tokens");
        Require(parsed.GetValue(_evaluate) > 0, "--evaluate-every", "at least 1 update");
        Require(parsed.GetValue(_warmUp) is >= 0 and < 1, "--warm-up", "a share from 0 to below 1");
        Require(parsed.GetValue(_patience) >= 0, "--patience", "a number of looks, or 0");
        Require(parsed.GetValue(_threads) is >= 0 and <= 1024, "--threads", "a number from 0 to 1024");
        foreach (Option<double> number in (Option<double>[])[_weightRate, _scaleRate, _clip, _decay, _distillHidden, _checkpoint])
            Require(parsed.GetValue(number) is >= 0 and < double.PositiveInfinity, number.Name, "a number of at least 0");
        if (parsed.GetValue(_activations) is { } kind) InputQuantizer.Of(kind, "").Dispose();
        return new TrainingOptions
        {
            Model = EmbeddedModel.Resolve(parsed.GetValue(_model)),
            To = parsed.GetValue(_to)!,
            Output = parsed.GetValue(_output)!,
            Text = parsed.GetValue(_text)!,
            Head = parsed.GetValue(_head) is { } head ? Format.Parse(head) : null,
            Steps = steps,
            Minutes = parsed.GetValue(_minutes) ?? (steps is null ? 15 : null),
            Batch = parsed.GetValue(_batch),
            Accumulate = parsed.GetValue(_accumulate),
            Context = parsed.GetValue(_context),
            WeightRate = parsed.GetValue(_weightRate),
            ScaleRate = parsed.GetValue(_scaleRate),
            WarmUp = parsed.GetValue(_warmUp),
            Schedule = parsed.GetValue(_schedule),
            Clip = parsed.GetValue(_clip),
            WeightDecay = parsed.GetValue(_decay),
            Distill = distill,
            DistillHidden = parsed.GetValue(_distillHidden),
            Train = parsed.GetValue(_train),
            Activations = parsed.GetValue(_activations),
            CacheFormat = parsed.GetValue(_cache) is { } cache ? Format.Parse(cache) : null,
            Seed = parsed.GetValue(_seed),
            CheckpointMinutes = parsed.GetValue(_checkpoint),
            EvaluateEvery = parsed.GetValue(_evaluate),
            Patience = parsed.GetValue(_patience),
            Resume = parsed.GetValue(_resume),
            Force = parsed.GetValue(_force),
            Threads = parsed.GetValue(_threads),
        };
    }

    private static void Require(bool condition, string option, string what)
    {
        if (!condition) throw new UnusableInputException($"{option} takes {what}");
    }

    private static Option<string> Text(string name, string description, string help) => new(name) { Description = description, HelpName = help };

    private static Option<int> Count(string name, string description, int fallback) => new(name) { Description = description, HelpName = "N", DefaultValueFactory = _ => fallback };

    /// <summary>An option of a few words, which are told in its messages; an enumeration's own parser also takes numbers that are none of them.</summary>
    private static Option<T> Choice<T>(string name, string description, T fallback) where T : struct, Enum
    {
        string[] words = [.. Enum.GetNames<T>().Select(word => word.ToLowerInvariant())];
        return new Option<T>(name)
        {
            Description = description,
            HelpName = string.Join('|', words),
            DefaultValueFactory = _ => fallback,
            CustomParser = result =>
            {
                string word = result.Tokens[^1].Value;
                if (words.Contains(word, StringComparer.OrdinalIgnoreCase)) return Enum.Parse<T>(word, ignoreCase: true);
                result.AddError($"{name} {word}: must be {string.Join(" or ", words)}");
                return fallback;
            },
        };
    }

    private static Option<double> Number(string name, string description, double fallback) => new(name) { Description = description, HelpName = "X", DefaultValueFactory = _ => fallback };
}
