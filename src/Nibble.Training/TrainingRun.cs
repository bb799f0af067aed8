using System.Diagnostics;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Models;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Recipes;
using Nibble.Training.Model;

namespace Nibble.Training;

/// <summary>A run from its arguments to its output: everything is checked before any work starts.</summary>
internal sealed class TrainingRun : IDisposable
{
    private const int LongestContext = 512;

    private readonly TrainingOptions _options;
    private readonly ModelSource _source;
    private readonly TrainingText _text;
    private readonly TrainedModelWriter _writer;

    /// <exception cref="UnusableInputException">One line says what cannot be used.</exception>
    public TrainingRun(TrainingOptions options)
    {
        _source = ModelSource.Open(options.Model);
        try
        {
            int context = options.Context > 0 ? options.Context : Math.Min(LongestContext, _source.Config.ContextLength);
            if (context > _source.Config.ContextLength)
                throw new UnusableInputException($"--context {context}: the model was trained for {_source.Config.ContextLength} tokens");
            _options = options with { Context = context };
            Plan = FormatPlan.Of(_source, options);
            var tokenizer = Tokenizer.Of(_source);
            _writer = new TrainedModelWriter(_source, tokenizer, options);
            if (!options.Resume && File.Exists(options.Checkpoint) && !options.Force)
                throw new UnusableInputException($"{options.Checkpoint}: a run stopped here; --resume goes on with it, --force begins anew");
            if (options.Resume && !File.Exists(options.Checkpoint))
                throw new UnusableInputException($"{options.Checkpoint}: there is no checkpoint to resume; train without --resume");
            _text = TrainingText.Of(TextFile.Read(options.Text), tokenizer, _source.Config.Vocabulary, context, options.Seed);
            MemoryNeed.Check(_source, _options);
        }
        catch
        {
            _source.Dispose();
            throw;
        }
    }

    /// <summary>The format of every matrix.</summary>
    public FormatPlan Plan { get; }

    /// <summary>A sentence that says what is about to happen.</summary>
    public string Summary => FormattableString.Invariant(
        $"{Plan.Name}: {_text.Tokens} tokens to train on, {_text.HeldOut.Count * _text.HeldOut[0].Length} held out; {_options.Batch} x {_options.Accumulate} texts of {_options.Context} tokens an update");

    /// <summary>Trains and writes the output.</summary>
    public TrainingResult Execute(TrainingDisplay display, CancellationToken cancellation)
    {
        long started = Stopwatch.GetTimestamp();
        var torch = new TorchOptions { FormatOf = Plan.FormatOf, Trains = true, Activations = _options.Activations, CacheFormat = _options.CacheFormat };
        using var student = new TorchDecoder(_source, torch);
        using TorchDecoder? teacher = _options.NeedsTeacher ? new TorchDecoder(_source, new TorchOptions()) : null;
        using var trainer = new Trainer(student, teacher, _text, _options) { Progress = display.Update, Looked = display.Look };
        if (_options.Resume) trainer.Resume();
        StopReason reason = trainer.Run(cancellation);
        long bytes = _writer.Write(student, trainer.State.Curve);
        File.Delete(_options.Checkpoint);
        TrainingState state = trainer.State;
        return new TrainingResult(
            _options.Output, Plan.Name, reason switch { StopReason.Steps => "steps", StopReason.Time => "time", _ => "held-out loss" },
            state.Step, state.Step * _options.Batch * _options.Accumulate * _options.Context, state.Seconds,
            Stopwatch.GetElapsedTime(started).TotalSeconds, state.First, state.Best, state.BestStep, bytes, Process.GetCurrentProcess().PeakWorkingSet64,
            student.Parts.Bounds.ToDictionary(b => b.Key, b => b.Value.Bound),
            [.. Plan.Formats.Select(f => new TrainedTensorResult(f.Key, f.Value.Name))], state.Curve);
    }

    public void Dispose() => _source.Dispose();
}
