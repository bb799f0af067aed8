using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>AdamW (Loshchilov and Hutter, arXiv:1711.05101), with its state in the open so that it can be stored.</summary>
internal sealed class AdamW : IDisposable
{
    private const double Beta1 = 0.9, Beta2 = 0.95, Epsilon = 1e-8;

    private readonly Dictionary<string, (Tensor Mean, Tensor Square)> _moments;

    public AdamW(IReadOnlyList<Trainable> trainables)
    {
        Trainables = trainables;
        _moments = trainables.ToDictionary(t => t.Name, t => (Zeros(t.Value), Zeros(t.Value)));
    }

    public IReadOnlyList<Trainable> Trainables { get; }

    /// <summary>Updates so far.</summary>
    public long Steps { get; set; }

    /// <summary>Running means of gradients and of their squares, by the trainable's name.</summary>
    public IReadOnlyDictionary<string, (Tensor Mean, Tensor Square)> Moments => _moments;

    /// <summary>Forgets the gradients, so that what has none at the next update stays as it is.</summary>
    public void Clear()
    {
        foreach (Trainable trainable in Trainables)
        {
            trainable.Value.grad?.Dispose();
            trainable.Value.grad = null;
        }
    }

    /// <summary>Cuts all gradients together to a norm.</summary>
    /// <returns>The norm before; not finite if a gradient was not.</returns>
    public double ClipGradients(double norm)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        Tensor[] gradients = [.. Trainables.Select(t => t.Value.grad).OfType<Tensor>()];
        double found = Math.Sqrt(gradients.Sum(g => g.square().sum().item<float>()));
        if (found > norm && double.IsFinite(found))
            foreach (Tensor gradient in gradients) gradient.mul_(norm / found);
        return found;
    }

    /// <summary>One update.</summary>
    /// <param name="weightRate">For weights.</param>
    /// <param name="scaleRate">For scales, which do not decay.</param>
    public void Step(double weightRate, double scaleRate, double weightDecay)
    {
        using var off = no_grad();
        Steps++;
        double correction1 = 1 - Math.Pow(Beta1, Steps), correction2 = Math.Sqrt(1 - Math.Pow(Beta2, Steps));
        foreach (Trainable trainable in Trainables)
        {
            using var scope = NewDisposeScope();
            if (trainable.Value.grad is not { } gradient) continue;
            (Tensor mean, Tensor square) = _moments[trainable.Name];
            mean.mul_(Beta1).add_(gradient, 1 - Beta1);
            square.mul_(Beta2).addcmul_(gradient, gradient, 1 - Beta2);
            bool isWeight = trainable.Kind == TrainableKind.Weight;
            double rate = isWeight ? weightRate : scaleRate;
            if (isWeight && weightDecay > 0) trainable.Value.mul_(1 - rate * weightDecay);
            trainable.Value.addcdiv_(mean, (square.sqrt() / correction2).add_(Epsilon), -rate / correction1);
        }
    }

    private static Tensor Zeros(Tensor like) => zeros(like.shape).DetachFromDisposeScope();

    public void Dispose()
    {
        foreach ((Tensor mean, Tensor square) in _moments.Values)
        {
            mean.Dispose();
            square.Dispose();
        }
    }
}
