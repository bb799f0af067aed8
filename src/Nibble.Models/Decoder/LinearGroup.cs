using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>
/// Linear layers that read the same input, and what follows row by row: one parallel region where the kernels allow it, else
/// one after the other.
/// </summary>
internal sealed unsafe class LinearGroup
{
    /// <summary>Numbers that are worth a parallel region.</summary>
    private const int ParallelAbove = 8192;

    private readonly Linear[] _linears;
    private readonly Product[] _products;

    public LinearGroup(params ReadOnlySpan<Linear?> linears)
    {
        _linears = [.. linears.ToArray().OfType<Linear>()];
        _products = new Product[_linears.Length];
        foreach (Linear linear in _linears) linear.Group = this;
    }

    public ReadOnlySpan<Linear> Linears => _linears;

    /// <param name="outputs">Of each layer, float*: [tokens, rows], overwritten.</param>
    /// <param name="after">Run for all rows, of the first layer, once those of all layers are there.</param>
    public void Apply<TAfter>(Workspace work, Activation x, ReadOnlySpan<nint> outputs, TAfter after) where TAfter : struct, IRowsJob
    {
        foreach (Linear linear in _linears) work.Tell(linear, x);
        if (TryTogether(work, x, outputs, after)) return;
        for (int i = 0; i < _linears.Length; i++) _linears[i].Apply(x, (float*)outputs[i], work.Pool);
        Run(after, x.Tokens * _linears[0].Weight.Rows, work.Pool);
    }

    private bool TryTogether<TAfter>(Workspace work, Activation x, ReadOnlySpan<nint> outputs, TAfter after) where TAfter : struct, IRowsJob
    {
        for (int i = 0; i < _linears.Length; i++)
        {
            Linear linear = _linears[i];
            if (linear.IsIdle || !linear.Bias.IsEmpty || linear.InputRounding != _linears[0].InputRounding) return false;
            _products[i] = new Product(linear.Weight, (float*)outputs[i]);
        }
        return MatrixProduct.TryMultiply(
            _products, x, work.Pool, _linears[0].InputRounding, after, _linears[^1].ReadNext(stackalloc MemoryRange[MatrixProduct.MostTogether]));
    }

    /// <summary>Runs what follows by itself.</summary>
    /// <param name="numbers">That it writes.</param>
    public static void Run<TAfter>(TAfter after, long numbers, WorkerPool pool) where TAfter : struct, IRowsJob
    {
        if (numbers < ParallelAbove) after.Run(0, after.Units);
        else if (after.Units > 0) pool.Run(ref after, after.Units, least: 1);
    }
}
