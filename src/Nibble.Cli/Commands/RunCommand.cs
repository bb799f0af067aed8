using System.CommandLine;
using System.Globalization;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models.Chat;
using Nibble.Models.Decoder;
using Nibble.Models.Sampling;
using Nibble.Models.Tokenizers;

namespace Nibble.Cli.Commands;

/// <summary>Generates text.</summary>
internal sealed class RunCommand : Verb
{
    private const int DefaultCount = 128;

    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<string> _prompt = new("--prompt", "-p") { Description = "The text to continue; '-' reads it from standard input, less the end of its last line.", HelpName = "TEXT", Required = true };
    private readonly Option<bool> _chat = new("--chat") { Description = "Put the prompt into the model's chat template, as what a user says." };
    private readonly Option<string?> _system = new("--system") { Description = "With --chat: what the model is told first.", HelpName = "TEXT" };
    private readonly Option<int> _count = new("--count", "-n") { Description = "The most tokens to generate.", HelpName = "N", DefaultValueFactory = _ => DefaultCount };
    private readonly Option<double?> _temperature = new("--temperature") { Description = "0 takes the likeliest token every time. [default: 0.8]", HelpName = "T" };
    private readonly Option<int?> _topK = new("--top-k") { Description = "Draw from the K likeliest tokens; 0 is no limit. [default: 40]", HelpName = "K" };
    private readonly Option<double?> _topP = new("--top-p") { Description = "Draw from the likeliest tokens that together have this probability. [default: 0.95]", HelpName = "P" };
    private readonly Option<double?> _minP = new("--min-p") { Description = "Drop tokens less likely than this share of the likeliest. [default: 0.05]", HelpName = "P" };
    private readonly Option<double?> _repetitionPenalty = new("--repetition-penalty") { Description = "Above 1, recent tokens become less likely. [default: 1]", HelpName = "R" };
    private readonly Option<ulong?> _seed = new("--seed") { Description = "The same seed gives the same text. [default: a new one each time]", HelpName = "S" };
    private readonly Option<string[]> _stop = new("--stop") { Description = "End when this text comes; may be given more than once.", HelpName = "TEXT" };

    private readonly DecoderSettings _decoder = new();

    public RunCommand() : base("run", "Continue a text, streaming.",
        "nibble run -p \"The old man looked out over the sea and\"",
        "nibble run model.gguf -p \"Once upon a time\" -n 200 --temperature 0.8 --seed 7",
        "echo \"Call me\" | nibble run -p - --json")
    {
        Add(_model);
        AddOptions([_prompt, _chat, _system, _count, _temperature, _topK, _topP, _minP, _repetitionPenalty, _seed, _stop, .. _decoder.Options]);
    }

    protected override void Execute(Invocation run)
    {
        GenerationOptions options = Wanted(run);
        if (run.Get(_system) is not null && !run.Get(_chat)) throw new UnusableInputException("--system: goes with --chat");
        string prompt = run.Get(_prompt) == "-" ? ReadInput() : run.Get(_prompt)!;
        string path = ModelPath.Resolve(run.Get(_model));
        DecoderOptions decoder = _decoder.Read(run, fast: true);
        using WorkerPool pool = run.NewPool();
        using LoadedModel model = LoadedModel.Open(path, pool, run.Terminal, decoder);
        _decoder.Calibrate(run, model.Decoder, model.Source, decoder);
        int[] tokens = run.Get(_chat) ? Conversation(model, prompt, run.Get(_system)) : model.Tokenizer.Encode(prompt);

        Check(tokens, options.Count);
        bool streams = !run.Json;
        if (streams) run.Terminal.Echo(prompt);
        Generation generation = Generate(run, model, tokens, options, streams);
        if (generation.Reason == StopReason.Context)
            run.Terminal.Warn(model.Decoder.Config.LearnedPositions is > 0 and var positions
                ? $"the text ends here, for the model has positions for {positions} tokens only"
                : $"the text ends here, for memory holds the keys and values of no more than {tokens.Length + generation.Tokens.Count} tokens");
        RunResult result = Result(generation, options, decoder, model.Decoder);
        run.Print(result, ResultJson.Written.RunResult, r => run.Terminal.Note(Summary(r)));
    }

    /// <summary>What the generator refuses too, which knows no options.</summary>
    private static void Check(int[] prompt, int count)
    {
        if (prompt.Length == 0) throw new UnusableInputException("the prompt is empty; give some text with -p");
        if ((long)prompt.Length + count > Array.MaxLength)
            throw new UnusableInputException($"-n {count}: with a prompt of {prompt.Length} tokens that is more than a text can have; at most {Array.MaxLength - prompt.Length} fit");
    }

    private static Generation Generate(Invocation run, LoadedModel model, int[] tokens, GenerationOptions options, bool streams)
    {
        bool begun = false;
        try
        {
            return new TextGenerator(model.Decoder, model.Tokenizer).Generate(tokens, options, Show, run.Cancellation);
        }
        finally
        {
            // Of a text that was stopped too: what is said of that begins a line of its own.
            if (begun) run.Terminal.Output.WriteLine();
        }

        void Show(string piece)
        {
            if (streams) run.Terminal.Stream(piece);
            begun = streams;
        }
    }

    /// <summary>What was piped in. A text that ends with a line's end is not continued on that line, and echo adds one that nobody means.</summary>
    private static string ReadInput()
    {
        string text = Console.In.ReadToEnd();
        return text.EndsWith('\n') ? text[..^(text.EndsWith("\r\n", StringComparison.Ordinal) ? 2 : 1)] : text;
    }

    private GenerationOptions Wanted(Invocation run)
    {
        int count = run.Get(_count);
        if (count < 1) throw new UnusableInputException($"-n {count}: generate at least 1 token");
        SamplingOptions usual = new();
        var sampling = new SamplingOptions
        {
            Temperature = run.Get(_temperature) ?? usual.Temperature,
            TopK = run.Get(_topK) ?? usual.TopK,
            TopP = run.Get(_topP) ?? usual.TopP,
            MinP = run.Get(_minP) ?? usual.MinP,
            RepetitionPenalty = run.Get(_repetitionPenalty) ?? usual.RepetitionPenalty,
            Seed = run.Get(_seed) ?? (ulong)Random.Shared.NextInt64(1L << 53),
        };
        sampling.Validate();
        string[] stops = [.. (run.Get(_stop) ?? []).Where(s => s.Length > 0)];
        return new GenerationOptions(count, sampling, stops);
    }

    /// <summary>The prompt as the model was trained to read a conversation.</summary>
    private static int[] Conversation(LoadedModel model, string prompt, string? system)
    {
        Tokenizer tokenizer = model.Tokenizer;
        string path = model.Source.Path;
        string source = tokenizer.ChatTemplate ?? throw new UnusableInputException($"{path}: has no chat template; leave out --chat");
        ChatMessage[] messages = [.. system is null ? Array.Empty<ChatMessage>() : [new ChatMessage("system", system)], new ChatMessage("user", prompt)];
        string bos = Text(tokenizer.Bos), text = new ChatTemplate(source, path).Render(messages, addGenerationPrompt: true, bos, Text(tokenizer.Eos));
        return tokenizer.Encode(text, addSpecial: bos.Length == 0 || !text.StartsWith(bos, StringComparison.Ordinal));

        string Text(int? token) => token is { } id ? tokenizer.Token(id) ?? "" : "";
    }

    private static RunResult Result(Generation generation, GenerationOptions options, DecoderOptions decoder, DecoderModel model) => new(
        generation.Text, generation.Tokens, generation.PromptTokens, generation.Tokens.Count,
        generation.PromptTokens / generation.PrefillSeconds,
        generation.DecodeSteps > 0 ? generation.DecodeSteps / generation.DecodeSeconds : 0,
        generation.Reason switch { StopReason.Length => "length", StopReason.End => "end", StopReason.Context => "context", _ => "stop" },
        options.Sampling.Temperature, options.Sampling.Seed, DecoderSettings.NameOfActivations(decoder, model), DecoderSettings.NameOfCache(decoder), generation.CacheBytes);

    private static string Summary(RunResult r)
    {
        string seed = r.Temperature > 0 ? $", seed {r.Seed}" : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"prompt {r.PromptTokens} tokens at {r.PrefillTokensPerSecond:F1} a second, text {r.GeneratedTokens} at {r.DecodeTokensPerSecond:F1} a second{seed}");
    }
}

internal sealed record RunResult(
    string Text, IReadOnlyList<int> Tokens, int PromptTokens, int GeneratedTokens, double PrefillTokensPerSecond, double DecodeTokensPerSecond,
    string StopReason, double Temperature, ulong Seed, string? Activations, string Kv, long KvBytes);
