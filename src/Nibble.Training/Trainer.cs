using System.Diagnostics;
using Nibble.Core;
using Nibble.Quantization.Reports;
using Nibble.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>Why a run came to its end.</summary>
internal enum StopReason
{
    Steps,
    Time,
    /// <summary>The held-out loss stopped falling.</summary>
    HeldOut,
}

/// <summary>
/// The training loop. Everything it changes is in <see cref="State"/> and in the tensors it can name, so that a checkpoint
/// is the whole of it.
/// </summary>
internal sealed class Trainer : IDisposable
{
    private readonly TorchDecoder _student;
    private readonly TrainingLoss _loss;
    private readonly TrainingText _text;
    private readonly TrainingOptions _options;
    private readonly AdamW _optimizer;
    private readonly Dictionary<string, Tensor> _best;
    private readonly Undisturbed _undisturbed;
    private double _secondsBefore;
    private long _started;

    public Trainer(TorchDecoder student, TorchDecoder? teacher, TrainingText text, TrainingOptions options)
    {
        (_student, _text, _options) = (student, text, options);
        _loss = new TrainingLoss(student, teacher, options.Distill, options.DistillHidden);
        if (options.Train == TrainedPart.Scales)
            foreach (TrainedMatrix matrix in student.Parts.Matrices.Values.Where(m => m.Format is not null)) matrix.FixCodes();
        _optimizer = new AdamW([.. student.Parts.Trainables]);
        _undisturbed = new Undisturbed(student.Parts.Matrices.Values.Sum(m => m.Values.numel()));
        _best = _optimizer.Trainables.ToDictionary(t => t.Name, t => t.Value.detach().clone().DetachFromDisposeScope());
    }

    public TrainingState State { get; private set; } = new();

    /// <summary>Told after every update: its number, its loss, and the share of the run that is done.</summary>
    public Action<long, double, double>? Progress { get; init; }

    /// <summary>Told of every look at the held-out text.</summary>
    public Action<LossPoint>? Looked { get; init; }

    private double Seconds => _secondsBefore + Stopwatch.GetElapsedTime(_started).TotalSeconds;

    /// <summary>The share of the run that is done; by updates where their number is given, so that a schedule repeats exactly.</summary>
    private double Done => _options.Steps is { } steps ? (double)State.Step / steps : Seconds / (60 * _options.Minutes!.Value);

    /// <summary>The layer that is trained, where they are trained one after the other for an equal share of the run each.</summary>
    private int Layer => Math.Min(_student.Layers - 1, (int)(Done * _student.Layers));

    /// <summary>What the learning rate's schedule goes by: the share of the run, or of the layer's turn, that is done.</summary>
    private double Phase => _options.Train == TrainedPart.Blocks ? Done * _student.Layers - Layer : Done;

    /// <summary>Goes on where the checkpoint is.</summary>
    public void Resume()
    {
        State = Checkpoint.Read(_options.Checkpoint, Tensors(), _options.Identity);
        _optimizer.Steps = State.Step;
        _secondsBefore = State.Seconds;
    }

    /// <summary>Trains, and leaves the best weights in place.</summary>
    /// <exception cref="TrainingFailedException">The loss or a gradient is no longer a number.</exception>
    public StopReason Run(CancellationToken cancellation)
    {
        _started = Stopwatch.GetTimestamp();
        if (State.Step == 0 && double.IsNaN(State.First)) Look(0);
        double saved = Seconds;
        StopReason? reason;
        while ((reason = Stop()) is null)
        {
            double loss = _undisturbed.Run(Update);
            State = State with { Step = State.Step + 1, Seconds = Seconds, LossSum = State.LossSum + loss };
            Progress?.Invoke(State.Step, loss, Math.Min(1, Done));
            if (State.Step % _options.EvaluateEvery == 0) Look(State.LossSum / _options.EvaluateEvery);
            if (cancellation.IsCancellationRequested || Seconds - saved > 60 * _options.CheckpointMinutes)
            {
                Save();
                saved = Seconds;
                cancellation.ThrowIfCancellationRequested();
            }
        }
        if (State.Step % _options.EvaluateEvery is var rest and not 0) Look(State.LossSum / rest);
        Save();
        TakeBest();
        return reason.Value;
    }

    private StopReason? Stop() =>
        State.Step >= _options.Steps ? StopReason.Steps
        : Seconds >= 60 * _options.Minutes ? StopReason.Time
        : _options.Patience > 0 && _options.Train != TrainedPart.Blocks && State.Stale >= _options.Patience ? StopReason.HeldOut : null;

    /// <summary>One update.</summary>
    /// <returns>The mean loss of its batches.</returns>
    private double Update()
    {
        double sum = 0;
        _optimizer.Clear();
        for (int i = 0; i < _options.Accumulate; i++)
        {
            using var scope = NewDisposeScope();
            int[][] batch = _text.Batch(State.Step * _options.Accumulate + i, _options.Batch);
            Tensor tokens = TrainingText.ToTensor(batch);
            Tensor loss = (_options.Train == TrainedPart.Blocks ? _loss.OfLayer(Layer, tokens) : _loss.Of(tokens)) / _options.Accumulate;
            sum += loss.item<float>();
            if (!double.IsFinite(sum)) throw Failed($"the loss is {sum}");
            loss.backward();
        }
        double norm = _optimizer.ClipGradients(_options.Clip);
        if (!double.IsFinite(norm)) throw Failed($"the gradient's norm is {norm}");
        double factor = LearningRate.Factor(Phase, _options.WarmUp, _options.Schedule);
        _optimizer.Step(factor * _options.WeightRate, factor * _options.ScaleRate, _options.WeightDecay);
        return sum;
    }

    private TrainingFailedException Failed(string what) => new($"update {State.Step + 1}: {what}; "
        + (File.Exists(_options.Checkpoint) ? $"{_options.Checkpoint} holds the last good state: resume it" : "train again")
        + " with lower --weights-lr and --scale-lr");

    /// <summary>Measures the held-out text, and keeps the weights if they are the best so far.</summary>
    private void Look(double loss)
    {
        double heldOut = _undisturbed.Run(HeldOut);
        if (!double.IsFinite(heldOut)) throw Failed($"the held-out loss is {heldOut}");
        if (double.IsNaN(State.First)) State = State with { First = heldOut };
        bool better = heldOut < State.Best;
        State = better ? State with { Best = heldOut, BestStep = State.Step, Stale = 0 } : State with { Stale = State.Stale + 1 };
        if (better) Copy(_optimizer.Trainables.ToDictionary(t => t.Name, t => t.Value), _best);
        var point = new LossPoint(State.Step, Seconds, loss, heldOut);
        State = State with { Curve = [.. State.Curve, point], LossSum = 0 };
        Looked?.Invoke(point);
    }

    /// <summary>The loss on the held-out text, as training counts it.</summary>
    public double HeldOut()
    {
        using var off = no_grad();
        double sum = 0;
        foreach (int[][] pieces in _text.HeldOut.Chunk(_options.Batch))
        {
            using var scope = NewDisposeScope();
            sum += pieces.Length * (double)_loss.Of(TrainingText.ToTensor(pieces)).item<float>();
        }
        return sum / _text.HeldOut.Count;
    }

    private void TakeBest() => Copy(_best, _optimizer.Trainables.ToDictionary(t => t.Name, t => t.Value));

    private static void Copy(Dictionary<string, Tensor> from, Dictionary<string, Tensor> to)
    {
        using var off = no_grad();
        foreach ((string name, Tensor tensor) in to) tensor.copy_(from[name]);
    }

    /// <summary>Replaces the checkpoint, unless the weights are no longer any good: then the one before stays.</summary>
    private void Save()
    {
        if (!double.IsFinite(_undisturbed.Run(HeldOut))) throw Failed("the held-out loss is no number");
        Checkpoint.Write(_options.Checkpoint, Tensors(), State with { Seconds = Seconds }, _options.Identity);
    }

    /// <summary>Every tensor of the state, under the names of a checkpoint.</summary>
    private Dictionary<string, Tensor> Tensors()
    {
        var tensors = new Dictionary<string, Tensor>();
        foreach (Trainable trainable in _optimizer.Trainables)
        {
            tensors[trainable.Name] = trainable.Value;
            (tensors[$"adam.mean.{trainable.Name}"], tensors[$"adam.square.{trainable.Name}"]) = _optimizer.Moments[trainable.Name];
            tensors[$"best.{trainable.Name}"] = _best[trainable.Name];
        }
        foreach ((string module, Quantizers.ClippedInput bound) in _student.Parts.Bounds) tensors[$"{module}.clip.first"] = bound.FirstBound;
        return tensors;
    }

    public void Dispose()
    {
        _optimizer.Dispose();
        foreach (Tensor tensor in _best.Values) tensor.Dispose();
    }
}

/// <summary>Training cannot go on; the message is one line for a person.</summary>
internal sealed class TrainingFailedException(string message) : Exception(message);
