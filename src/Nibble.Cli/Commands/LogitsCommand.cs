using System.CommandLine;
using System.Globalization;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;

namespace Nibble.Cli.Commands;

/// <summary>Prints raw logits, for checking against other engines.</summary>
internal sealed class LogitsCommand : Verb
{
    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<string> _tokens = new("--tokens") { Description = "Token ids, separated by commas.", HelpName = "IDS", Required = true };

    private readonly DecoderSettings _decoder = new();

    public LogitsCommand() : base("logits", "Print the raw logits after every token, for checking against other engines.",
        "nibble logits --tokens 0,463,712 --json", "nibble logits model.gguf --tokens 1,2,3 --json")
    {
        Add(_model);
        AddOptions([_tokens, .. _decoder.Options]);
    }

    protected override void Execute(Invocation run)
    {
        int[] tokens = Parse(run.Get(_tokens)!);
        DecoderOptions options = _decoder.Read(run);
        using WorkerPool pool = run.NewPool();
        using ModelSource source = ModelSource.Open(ModelPath.Resolve(run.Get(_model)));
        source.CheckPredicts();
        foreach (string notice in source.Notices) run.Terminal.Warn(notice);
        using var model = new DecoderModel(source, pool, options);
        _decoder.Calibrate(run, model, source, options);
        int vocabulary = model.Config.Vocabulary;
        if ((long)tokens.Length * vocabulary > Array.MaxLength)
            throw new UnusableInputException($"--tokens: the logits of {tokens.Length} tokens do not fit one array; at most {Array.MaxLength / vocabulary} of this model do");
        var logits = new float[tokens.Length][];
        using KvCache cache = model.NewCache(tokens.Length);
        var all = new float[tokens.Length * vocabulary];
        model.Forward(tokens, cache, all, LogitPositions.All);
        for (int t = 0; t < tokens.Length; t++) logits[t] = all.AsSpan(t * vocabulary, vocabulary).ToArray();
        var result = new LogitsResult(tokens, logits);
        run.Print(result, ResultJson.Written.LogitsResult, r => Print(r, run.Terminal.Output));
    }

    private static int[] Parse(string list)
    {
        string[] parts = list.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length == 0) throw new UnusableInputException("--tokens is empty; give ids such as 1,2,3");
        return [.. parts.Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int id)
            ? id : throw new UnusableInputException($"--tokens: '{part}' is not a token id; give ids such as 1,2,3"))];
    }

    /// <summary>A line a token: its id, then its logits.</summary>
    private static void Print(LogitsResult result, TextWriter output)
    {
        for (int t = 0; t < result.Tokens.Count; t++)
            output.WriteLine($"{result.Tokens[t]}\t{string.Join(' ', result.Logits[t].Select(x => x.ToString("R", CultureInfo.InvariantCulture)))}");
    }
}

internal sealed record LogitsResult(IReadOnlyList<int> Tokens, IReadOnlyList<float[]> Logits);
