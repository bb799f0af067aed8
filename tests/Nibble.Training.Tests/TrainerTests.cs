using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Reports;
using Nibble.Tests.Peers;
using Nibble.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Tests;

public class TrainerTests
{
    [Fact]
    public void Training_lowers_the_divergence_from_the_full_precision_model()
    {
        using var run = new Fixture("llama");
        TrainingOptions options = run.Options with { Steps = 40, Distill = 1, WeightRate = 1e-3, EvaluateEvery = 10 };
        using var trainer = run.NewTrainer(options);
        Assert.Equal(StopReason.Steps, trainer.Run(CancellationToken.None));
        Assert.True(trainer.State.Best < 0.95 * trainer.State.First, $"{trainer.State.First} -> {trainer.State.Best}");
        Assert.Equal(trainer.State.Best, trainer.HeldOut(), 1e-5);
    }

    [Fact]
    public void Scales_alone_lower_it_too_and_leave_the_weights_as_they_are()
    {
        using var run = new Fixture("llama");
        float[] before = FloatMatrix.Floats(run.Student.Parts.Matrices["blk.0.ffn_up.weight"].Values);
        using var trainer = run.NewTrainer(run.Options with { Steps = 12, Distill = 1, ScaleRate = 1e-2, EvaluateEvery = 4, Train = TrainedPart.Scales });
        trainer.Run(CancellationToken.None);
        Assert.True(trainer.State.Best < trainer.State.First);
        Assert.Equal(before, FloatMatrix.Floats(run.Student.Parts.Matrices["blk.0.ffn_up.weight"].Values));
    }

    [Fact]
    public void Layer_after_layer_lowers_it_too_and_changes_the_layers_alone()
    {
        using var run = new Fixture("llama");
        float[] before = FloatMatrix.Floats(run.Student.Parts.Matrices["token_embd.weight"].Values);
        float[][] layers = [.. Enumerable.Range(0, run.Student.Layers).Select(l => Weights(run.Student, l))];
        using var trainer = run.NewTrainer(run.Options with { Steps = 40, Distill = 1, WeightRate = 1e-3, EvaluateEvery = 10, Patience = 1, Train = TrainedPart.Blocks }, step =>
        {
            // Half-way through the first layer's turn the others are as they were.
            if (step != 5) return;
            Assert.NotEqual(layers[0], Weights(run.Student, 0));
            Assert.Equal(layers[^1], Weights(run.Student, layers.Length - 1));
        });
        Assert.Equal(StopReason.Steps, trainer.Run(CancellationToken.None));
        Assert.True(trainer.State.Best < 0.98 * trainer.State.First, $"{trainer.State.First} -> {trainer.State.Best}");
        Assert.Equal(before, FloatMatrix.Floats(run.Student.Parts.Matrices["token_embd.weight"].Values));

        static float[] Weights(TorchDecoder model, int layer) => FloatMatrix.Floats(model.Parts.Matrices[$"blk.{layer}.attn_q.weight"].Values);
    }

    [Theory]
    [InlineData(nameof(TrainedPart.All))]
    [InlineData(nameof(TrainedPart.Blocks))]
    [InlineData(nameof(TrainedPart.Scales))]
    public void A_run_that_was_stopped_and_resumed_ends_exactly_as_one_that_was_not(string part)
    {
        using var whole = new Fixture("qwen2");
        TrainingOptions options = whole.Options with { Steps = 7, Distill = 0.5, EvaluateEvery = 3, Activations = "int8-tensor", Train = Enum.Parse<TrainedPart>(part) };
        using Trainer unbroken = whole.NewTrainer(options);
        unbroken.Run(CancellationToken.None);

        using var broken = new Fixture("qwen2");
        options = options with { Output = broken.Options.Output };
        using var stop = new CancellationTokenSource();
        using (Trainer first = broken.NewTrainer(options, step => { if (step == 4) stop.Cancel(); }))
            Assert.Throws<OperationCanceledException>(() => first.Run(stop.Token));
        using var resumed = new Fixture("qwen2");
        using Trainer second = resumed.NewTrainer(options);
        second.Resume();
        Assert.Equal(4, second.State.Step);
        second.Run(CancellationToken.None);

        Assert.Equal(unbroken.State.Best, second.State.Best);
        Assert.Equal(unbroken.State.Curve.Select(p => p with { Seconds = 0 }), second.State.Curve.Select(p => p with { Seconds = 0 }));
        foreach ((Trainable a, Trainable b) in whole.Student.Parts.Trainables.Zip(resumed.Student.Parts.Trainables))
            Assert.Equal(FloatMatrix.Floats(a.Value), FloatMatrix.Floats(b.Value));
    }

    [Fact]
    public void A_checkpoint_of_a_run_that_was_told_otherwise_is_refused_with_the_option_named()
    {
        using var run = new Fixture("llama");
        using (Trainer first = run.NewTrainer(run.Options with { Steps = 1 })) first.Run(CancellationToken.None);
        using Trainer second = run.NewTrainer(run.Options with { Steps = 1, Seed = 5 });
        Assert.Contains("--seed", Assert.Throws<UnusableInputException>(second.Resume).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_loss_that_is_no_number_stops_the_run_and_leaves_the_last_checkpoint()
    {
        using var run = new Fixture("llama");
        using (Trainer good = run.NewTrainer(run.Options with { Steps = 2 })) good.Run(CancellationToken.None);
        using Trainer bad = run.NewTrainer(run.Options with { Steps = 50, WeightRate = 1e30, CheckpointMinutes = 0 });
        bad.Resume();
        Assert.Contains("lower --weights-lr", Assert.Throws<TrainingFailedException>(() => bad.Run(CancellationToken.None)).Message, StringComparison.Ordinal);
        using Trainer again = run.NewTrainer(run.Options with { Steps = 2 });
        again.Resume();
        Assert.Equal(2, again.State.Step);
        Assert.True(double.IsFinite(again.HeldOut()));
    }

    [Fact]
    public void Training_stops_when_the_held_out_loss_no_longer_falls()
    {
        using var run = new Fixture("llama");
        using Trainer trainer = run.NewTrainer(run.Options with { Steps = 100, EvaluateEvery = 1, Patience = 3, WeightRate = 0.3, WarmUp = 0 });
        Assert.Equal(StopReason.HeldOut, trainer.Run(CancellationToken.None));
        Assert.True(trainer.State.Step < 100);
    }

    [Theory]
    [InlineData("llama", "Linear2-g32")]
    [InlineData("gemma3", "Linear3-g32")]
    [InlineData("qwen2", "Q4_0")]
    public void What_was_trained_is_what_is_stored(string name, string format)
    {
        using var run = new Fixture(name, format);
        TrainingOptions options = run.Options with { Steps = 3, WeightRate = 1e-3, To = format };
        using Trainer trainer = run.NewTrainer(options);
        trainer.Run(CancellationToken.None);
        int[] tokens = TinyModel.Tokens(24, run.Source.Config.Vocabulary, 3);
        float[] trained = TinyModel.TorchLogits(run.Student, tokens);
        new TrainedModelWriter(run.Source, null, options).Write(run.Student, trainer.State.Curve);
        using ModelSource written = ModelSource.Open(options.Output);
        Assert.Equal(trainer.State.Curve, LossCurve.Of(written));
        TinyModel.AssertClose(trained, TinyModel.DecoderLogits(written, tokens));
        Assert.NotEqual(trained, TinyModel.DecoderLogits(run.Source, tokens));
    }

    [Fact]
    public void Learned_bounds_of_inputs_are_stored_and_used()
    {
        using var run = new Fixture("llama", "Linear8-g32");
        TrainingOptions options = run.Options with { Steps = 3, WeightRate = 1e-3, ScaleRate = 0.05, To = "Linear8-g32", Activations = "int8-tensor" };
        using Trainer trainer = run.NewTrainer(options);
        trainer.Run(CancellationToken.None);
        InputBounds learned = run.Student.Parts.LearnedBounds(options.Activations)!;
        int[] tokens = TinyModel.Tokens(24, run.Source.Config.Vocabulary, 3);
        float[] trained = TinyModel.TorchLogits(run.Student, tokens);
        new TrainedModelWriter(run.Source, null, options).Write(run.Student, []);
        using ModelSource written = ModelSource.Open(options.Output);
        InputBounds stored = InputBounds.Of(written)!;
        Assert.Equal(learned.Bounds, stored.Bounds);
        Assert.Equal(learned.Rounding, stored.Rounding);
        using var pool = new WorkerPool(1);
        using var decoder = new DecoderModel(written, pool, new DecoderOptions { InputRounding = stored.Rounding });
        Assert.Empty(stored.Apply(decoder));
        // A sum that lies between two codes may be rounded to either, so logits are held to the rounding's own size, not closer.
        float[] bounded = TinyModel.DecoderLogits(decoder, tokens), free = TinyModel.DecoderLogits(written, tokens);
        Assert.True(Distance(trained, bounded) < 0.2 * Distance(trained, free), $"{Distance(trained, bounded)} with the bounds, {Distance(trained, free)} without");

        static double Distance(float[] a, float[] b) => Math.Sqrt(a.Zip(b, (x, y) => (double)(x - y) * (x - y)).Sum());
    }

    [Fact]
    public void A_gguf_file_holds_the_trained_codes_in_their_format()
    {
        Torch.Require();
        using var folder = new Nibble.Tests.Files.TemporaryFolder();
        using ModelSource source = ModelSource.Open(Nibble.Tests.EmbeddedModel.Folder);
        var options = new TrainingOptions { Model = source.Path, To = "TQ2_0", Text = "", Output = folder.PathOf("out.gguf"), Steps = 1, Batch = 1, Context = 16, Patience = 0 };
        using var student = new TorchDecoder(source, new TorchOptions { FormatOf = FormatPlan.Of(source, options).FormatOf, Trains = true });
        using var trainer = new Trainer(student, null, new TrainingText(TinyModel.Tokens(200, 4096), null, 16, 1), options);
        trainer.Run(CancellationToken.None);
        new TrainedModelWriter(source, Tokenizer.Of(source), options).Write(student, trainer.State.Curve);
        using ModelSource written = ModelSource.Open(options.Output);
        Assert.Equal("TQ2_0", written.Tensors["blk.0.attn_q.weight"].Format.Name);
        Assert.Equal(trainer.State.Curve, LossCurve.Of(written));
        using var reopened = new TorchDecoder(written, new TorchOptions());
        int[] tokens = TinyModel.Tokens(16, 4096, 3);
        TinyModel.AssertClose(TinyModel.TorchLogits(student, tokens), TinyModel.TorchLogits(reopened, tokens));
    }

    [Theory]
    [InlineData("Q4_0")]
    [InlineData("Q4_K")]
    public async Task Llama_cpp_goes_on_from_a_trained_file_as_we_do(string format)
    {
        Torch.Require();
        LlamaCpp.SkipIfMissing();
        using var folder = new Nibble.Tests.Files.TemporaryFolder();
        using ModelSource source = ModelSource.Open(Nibble.Tests.EmbeddedModel.Folder);
        var options = new TrainingOptions { Model = source.Path, To = format, Text = "", Output = folder.PathOf("out.gguf"), Steps = 2, Batch = 1, Context = 16, Patience = 0 };
        using var student = new TorchDecoder(source, new TorchOptions { FormatOf = FormatPlan.Of(source, options).FormatOf, Trains = true });
        using var trainer = new Trainer(student, null, new TrainingText(TinyModel.Tokens(200, 4096), null, 16, 1), options);
        trainer.Run(CancellationToken.None);
        new TrainedModelWriter(source, Tokenizer.Of(source), options).Write(student, trainer.State.Curve);
        using ModelSource written = ModelSource.Open(options.Output);
        int[] prompt = Tokenizer.Of(source).Encode("The old man looked out over the sea and");
        List<int> tokens = [.. prompt];
        for (int step = 0; step < 8; step++) tokens.Add(TinyModel.DecoderLogits(written, [.. tokens])[^4096..].Index().MaxBy(l => l.Item).Index);
        PeerAnswer answer = Assert.Single(await LlamaCpp.Ask([new PeerQuestion(options.Output, [], [new PeerPrompt(prompt, [.. tokens[prompt.Length..]])])]));
        Assert.True(answer.Error is null, answer.Error);
        Assert.InRange(answer.Continuations![0].Behind.Average(), 0, 0.03);
    }

    /// <summary>A golden checkpoint, set up to be trained to two bits.</summary>
    private sealed class Fixture : IDisposable
    {
        private readonly Nibble.Tests.Files.TemporaryFolder _folder = new();
        private readonly TorchDecoder _teacher;
        private readonly Format _format;

        public Fixture(string name, string format = "Linear2-g32")
        {
            Torch.Require();
            Source = ModelSource.Open(SharedData.Path($"golden/architectures/{name}"));
            _format = Format.Parse(format);
            Options = new TrainingOptions { Model = Source.Path, To = format, Text = "", Output = _folder.PathOf("out"), Batch = 2, Context = 24, EvaluateEvery = 10 };
            Student = NewStudent(Options);
            _teacher = new TorchDecoder(Source, new TorchOptions());
        }

        public ModelSource Source { get; }

        public TrainingOptions Options { get; }

        public TorchDecoder Student { get; private set; }

        private TorchDecoder NewStudent(TrainingOptions options) => new(Source, new TorchOptions
        {
            FormatOf = matrix => matrix.StartsWith("blk.", StringComparison.Ordinal) ? _format : null,
            Trains = true,
            Activations = options.Activations,
        });

        public Trainer NewTrainer(TrainingOptions options, Action<long>? updated = null)
        {
            if (options.Activations is not null)
            {
                Student.Dispose();
                Student = NewStudent(options);
            }
            var text = new TrainingText(TinyModel.Tokens(500, Source.Config.Vocabulary, 2), null, options.Context, options.Seed);
            return new Trainer(Student, _teacher, text, options) { Progress = (step, _, _) => updated?.Invoke(step) };
        }

        public void Dispose()
        {
            Student.Dispose();
            _teacher.Dispose();
            Source.Dispose();
            _folder.Dispose();
        }
    }
}
