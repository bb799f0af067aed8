using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>The dense feed-forward block: down(f(gate(x)) * up(x)), or down(f(up(x))).</summary>
internal sealed unsafe class FeedForward
{
    private readonly Nonlinearity _f;
    private readonly Linear? _gate, _up, _gateUp;
    private readonly Linear _down;

    /// <param name="suffix"><c>_shexp</c> for the block that all tokens pass beside the experts.</param>
    public FeedForward(LayerParts parts, int layer, string suffix = "")
    {
        _f = parts.Config.Nonlinearity;
        _gate = parts.LinearOrNull($"blk.{layer}.ffn_gate{suffix}");
        _gateUp = parts.LinearOrNull($"blk.{layer}.ffn_gate_up{suffix}");
        _up = parts.LinearOrNull($"blk.{layer}.ffn_up{suffix}");
        _down = parts.Linear($"blk.{layer}.ffn_down{suffix}");
    }

    /// <param name="output">[tokens, hidden], overwritten.</param>
    public void Run(Workspace work, Activation x, float* output)
    {
        int width = _down.Weight.Columns, tokens = x.Tokens;
        work.Middle.Resize(tokens, width);
        if (_gateUp is not null)
        {
            float* both = work.Gate.Of((nint)tokens * 2 * width);
            work.Tell(_gateUp, x);
            _gateUp.Apply(x, both, work.Pool);
            GatedUnit.Rows(_f, both, both + width, 2 * width, tokens, width, work.Middle.Floats, work.Pool);
        }
        else
        {
            float* up = work.Up.Of((nint)tokens * width), gate = _gate is null ? up : work.Gate.Of((nint)tokens * width);
            work.Tell(_gate, x);
            _gate?.Apply(x, gate, work.Pool);
            work.Tell(_up, x);
            _up!.Apply(x, up, work.Pool);
            GatedUnit.Rows(_f, gate, _gate is null ? null : up, width, tokens, width, work.Middle.Floats, work.Pool);
        }
        work.Middle.Changed();
        work.Tell(_down, work.Middle);
        _down.Apply(work.Middle, output, work.Pool);
    }
}
