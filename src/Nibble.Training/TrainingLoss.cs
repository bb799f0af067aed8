using Nibble.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>
/// What training makes small: cross entropy with the text, the Kullback-Leibler divergence from the full-precision model's
/// predictions, and the distance of hidden states from its, in the shares that were asked for.
/// </summary>
/// <param name="teacher">The full-precision model; null where nothing is distilled.</param>
internal sealed class TrainingLoss(TorchDecoder student, TorchDecoder? teacher, double distill, double hidden)
{
    /// <param name="tokens">[batch, tokens].</param>
    /// <returns>A scalar with gradients.</returns>
    public Tensor Of(Tensor tokens)
    {
        List<Tensor>? states = hidden > 0 ? [] : null, wanted = hidden > 0 ? [] : null;
        Tensor? taught = null;
        if (teacher is not null)
            using (no_grad()) taught = teacher.Forward(tokens, wanted);
        Tensor logits = student.Forward(tokens, states);
        Tensor loss = zeros(1);
        if (distill < 1) loss = loss + (1 - distill) * CrossEntropy(logits, tokens);
        if (distill > 0) loss = loss + distill * Divergence(taught!, logits);
        if (hidden > 0) loss = loss + hidden * Distance(states!, wanted!);
        return loss.squeeze();
    }

    /// <summary>
    /// What one layer does wrong, given what the layers before it make of the text: the distance of its output from that of
    /// the full-precision model's (block-wise training: BRECQ, arXiv:2102.05426; EfficientQAT's first phase, arXiv:2407.11062).
    /// </summary>
    /// <param name="tokens">[batch, tokens].</param>
    /// <returns>A scalar with gradients to the layer alone.</returns>
    public Tensor OfLayer(int layer, Tensor tokens) =>
        Distance([student.Through(layer, student.Before(layer, tokens))], [teacher!.Before(layer + 1, tokens)]);

    /// <summary>Mean nats of the token that really comes next.</summary>
    public static Tensor CrossEntropy(Tensor logits, Tensor tokens)
    {
        long length = tokens.shape[1];
        Tensor predictions = logits.narrow(1, 0, length - 1).flatten(0, 1), next = tokens.narrow(1, 1, length - 1).flatten();
        return nn.functional.cross_entropy(predictions, next);
    }

    /// <summary>Mean KL(teacher || student) a position, in nats.</summary>
    public static Tensor Divergence(Tensor teacher, Tensor student)
    {
        Tensor wanted = teacher.log_softmax(-1);
        return (wanted.exp() * (wanted - student.log_softmax(-1))).sum(-1).mean();
    }

    /// <summary>Mean over layers of the squared distance, relative to the teacher's mean square.</summary>
    private static Tensor Distance(List<Tensor> student, List<Tensor> teacher) =>
        stack([.. student.Zip(teacher, (s, t) => (s - t).square().mean() / t.square().mean())], 0).mean();
}
