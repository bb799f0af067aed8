using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>The dense feed-forward block: down(f(gate(x)) * up(x)), or down(f(up(x))).</summary>
internal sealed unsafe class FeedForward
{
    private readonly Nonlinearity _f;
    private readonly Linear? _gate, _gateUp;
    private readonly Linear _down;
    private readonly LinearGroup _first, _last;

    /// <param name="suffix"><c>_shexp</c> for the block that all tokens pass beside the experts.</param>
    public FeedForward(LayerParts parts, int layer, string suffix = "")
    {
        _f = parts.Config.Nonlinearity;
        _gate = parts.LinearOrNull($"blk.{layer}.ffn_gate{suffix}");
        _gateUp = parts.LinearOrNull($"blk.{layer}.ffn_gate_up{suffix}");
        _first = new LinearGroup(_gate, _gateUp, parts.LinearOrNull($"blk.{layer}.ffn_up{suffix}"));
        _down = parts.Linear($"blk.{layer}.ffn_down{suffix}");
        _last = new LinearGroup(_down);
    }

    /// <param name="output">[tokens, hidden], overwritten.</param>
    /// <param name="sum">What follows of it.</param>
    public void Run(Workspace work, Activation x, float* output, Residual sum)
    {
        int width = _down.Weight.Columns, tokens = x.Tokens;
        work.Middle.Resize(tokens, width);
        var unit = new GatedUnit { F = _f, Y = work.Middle, MakesCodes = work.Middle.ExpectCodes(_down.Weight, work.Pool, _down.InputRounding) };
        if (_gateUp is not null)
        {
            float* both = work.Gate.Of((nint)tokens * 2 * width);
            unit.Gate = both;
            unit.Up = both + width;
            unit.Stride = 2 * width;
            _first.Apply(work, x, [(nint)both], default(NothingMore));
            LinearGroup.Run(unit, (long)tokens * width, work.Pool);
        }
        else
        {
            float* up = work.Up.Of((nint)tokens * width), gate = _gate is null ? up : work.Gate.Of((nint)tokens * width);
            unit.Gate = gate;
            unit.Up = _gate is null ? null : up;
            unit.Stride = width;
            _first.Apply(work, x, _gate is null ? [(nint)up] : [(nint)gate, (nint)up], unit);
        }
        _last.Apply(work, work.Middle, [(nint)output], sum);
    }
}
