using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Tests;

public class TorchDecoderTests
{
    public static TheoryData<string> Architectures => [
        "llama", "llama-linear", "llama-tied-bias-rope-llama3", "llama-yarn", "mistral-sliding", "qwen2", "qwen3", "gemma2", "gemma3",
        "smollm3", "granite", "olmo2", "cohere2",
    ];

    [Theory, MemberData(nameof(Architectures))]
    public void Logits_in_training_are_those_of_the_decoder(string name)
    {
        Torch.Require();
        using ModelSource source = ModelSource.Open(SharedData.Path($"golden/architectures/{name}"));
        using var model = new TorchDecoder(source, new TorchOptions());
        int[] tokens = TinyModel.Tokens(40, source.Config.Vocabulary);
        TinyModel.AssertClose(TinyModel.DecoderLogits(source, tokens), TinyModel.TorchLogits(model, tokens));
    }

    [Fact]
    public void Logits_of_the_embedded_model_are_those_of_the_decoder()
    {
        Torch.Require();
        using ModelSource source = ModelSource.Open(Nibble.Tests.EmbeddedModel.Folder);
        using var model = new TorchDecoder(source, new TorchOptions());
        int[] tokens = TinyModel.Tokens(64, source.Config.Vocabulary);
        TinyModel.AssertClose(TinyModel.DecoderLogits(source, tokens), TinyModel.TorchLogits(model, tokens));
    }

    [Theory]
    [InlineData("int8", "f32")]
    [InlineData(null, "q8_0")]
    public void Logits_with_rounded_inputs_and_cache_are_those_of_the_decoder(string? activations, string cache)
    {
        Torch.Require();
        using ModelSource source = ModelSource.Open(Nibble.Tests.EmbeddedModel.Folder);
        Format format = Format.Parse(cache);
        using var model = new TorchDecoder(source, new TorchOptions { Activations = activations, CacheFormat = format });
        var options = new DecoderOptions { InputRounding = InputRounding.Parse(activations ?? "float"), CacheFormat = format };
        // A number half-way between two codes may become either, since sums are added up in another order, and all that
        // follows in the text differs then: so many short texts, few of which may hold such a number.
        const int Texts = 16;
        int same = 0;
        for (int seed = 0; seed < Texts; seed++)
        {
            int[] tokens = TinyModel.Tokens(2, source.Config.Vocabulary, seed);
            float[] expected = TinyModel.DecoderLogits(source, tokens, options), found = TinyModel.TorchLogits(model, tokens);
            if (expected.Zip(found).All(pair => MathF.Abs(pair.First - pair.Second) < 1e-4f)) same++;
        }
        Assert.InRange(same, Texts * 3 / 4, Texts);
    }

    [Theory]
    [InlineData("qwen3-moe", "experts")]
    [InlineData("deepseek-v3", "latent")]
    [InlineData("bert", "encoder")]
    [InlineData("gpt2", "fused")]
    public void A_model_with_parts_that_training_does_not_know_is_refused_by_name(string name, string part)
    {
        Torch.Require();
        using ModelSource source = ModelSource.Open(SharedData.Path($"golden/architectures/{name}"));
        Assert.Contains(part, Assert.Throws<UnusableInputException>(() => new TorchDecoder(source, new TorchOptions())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gemma3")]
    [InlineData("qwen2")]
    public void Gradients_of_the_whole_model_are_finite_differences(string name)
    {
        Torch.Require();
        using ModelSource source = ModelSource.Open(SharedData.Path($"golden/architectures/{name}"));
        using var model = new TorchDecoder(source, new TorchOptions { Trains = true });
        using Tensor tokens = TrainingText.ToTensor([TinyModel.Tokens(24, source.Config.Vocabulary)]);
        using (NewDisposeScope()) Loss(model, tokens).backward();
        foreach (Trainable trainable in model.Parts.Trainables)
        {
            // Along the gradient the loss changes by its norm: one number that no wrong gradient gives.
            using var scope = NewDisposeScope();
            Tensor direction = trainable.Value.grad!.detach();
            double norm = direction.norm().item<float>();
            if (norm < 1e-3) continue;
            double step = 3e-3 * Math.Max(1e-2, trainable.Value.detach().norm().item<float>()) / norm;
            double up = Moved(model, tokens, trainable.Value, direction, step), down = Moved(model, tokens, trainable.Value, direction, -step);
            Assert.True(Math.Abs((up - down) / (2 * step) - norm * norm) < 0.05 * norm * norm + 1e-4 * norm, $"{trainable.Name}: {norm * norm} expected, {(up - down) / (2 * step)} found");
        }
    }

    private static Tensor Loss(TorchDecoder model, Tensor tokens) => TrainingLoss.CrossEntropy(model.Forward(tokens), tokens);

    private static double Moved(TorchDecoder model, Tensor tokens, Tensor value, Tensor direction, double step)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        Tensor before = value.clone();
        value.add_(direction, step);
        double loss = Loss(model, tokens).item<float>();
        value.copy_(before);
        return loss;
    }
}
