using System.Globalization;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Evaluation;

/// <summary>
/// Looks at what the linear layers of a reference read, and computes both what they make of it and what the model's weights
/// would have made.
/// </summary>
internal sealed unsafe class LinearErrors(Dictionary<string, TensorPair> pairs, WorkerPool pool) : IProbe, IDisposable
{
    /// <summary>Tokens that are computed at a time, for a head may have very many outputs.</summary>
    private const int Tokens = 64;

    private readonly Dictionary<string, (double Error, double Power)> _sums = [];
    private readonly GrowingBuffer _expected = new(), _actual = new();
    private readonly Activation _some = new();

    /// <summary>The relative error of a tensor's output over all tokens; 0 where it was never used.</summary>
    public double Of(string tensor) => _sums.TryGetValue(tensor, out (double Error, double Power) sum) && sum.Error > 0 ? Math.Sqrt(sum.Error / sum.Power) : 0;

    public void Set(string tensor, double relative) => _sums[tensor] = (relative * relative, 1);

    /// <summary>A linear layer's tensor: its name without the expert's number.</summary>
    public static string ModuleOf(Linear linear) => ModuleOf(linear.Name);

    private static string ModuleOf(string linear) => linear.Split('[')[0];

    public void LinearInput(string name, Activation x)
    {
        string module = ModuleOf(name);
        // A head that is the embedding has its own name, but not its own tensor.
        if (!pairs.TryGetValue(module, out TensorPair? pair) && (module != "output" || !pairs.TryGetValue("token_embd", out pair))) return;
        int expert = module == name ? 0 : int.Parse(name.AsSpan(module.Length + 1, name.Length - module.Length - 2), CultureInfo.InvariantCulture);
        Weight reference = pair.Reference(expert), model = pair.ModelAsReference(expert);
        (double error, double power) = _sums.GetValueOrDefault(module);
        for (int from = 0; from < x.Tokens; from += Tokens)
        {
            int tokens = Math.Min(Tokens, x.Tokens - from);
            _some.Resize(tokens, x.Columns);
            for (int t = 0; t < tokens; t++) x.Row(from + t).CopyTo(_some.Row(t));
            ReadOnlySpan<float> expected = Product(reference, _expected), actual = Product(model, _actual);
            for (int i = 0; i < expected.Length; i++)
            {
                double difference = (double)actual[i] - expected[i];
                (error, power) = (error + difference * difference, power + (double)expected[i] * expected[i]);
            }
        }
        _sums[module] = (error, power);
    }

    private ReadOnlySpan<float> Product(Weight weight, GrowingBuffer to)
    {
        to.Reserve((nint)_some.Tokens * weight.Rows * sizeof(float));
        MatrixProduct.Multiply(weight, _some, (float*)to.Pointer, pool, InputRounding.None);
        return new ReadOnlySpan<float>(to.Pointer, checked(_some.Tokens * weight.Rows));
    }

    public void Hidden(int layer, ReadOnlySpan<float> states) { }

    public void Dispose()
    {
        _expected.Dispose();
        _actual.Dispose();
        _some.Dispose();
    }
}
