using System.Numerics.Tensors;
using Nibble.Core.Formats;

namespace Nibble.Quantization.Methods;

/// <summary>
/// Half-quadratic quantization (Badri and Shaji, 2023): no data; scale and minimum of every group are solved so that the sum
/// of |error|^p is least, p below 1, which lets a few weights err by much where that serves the many. Errors are shrunk in
/// turn, and scale and minimum solved by least squares on the weights less their shrunken errors.
/// </summary>
/// <remarks>
/// The original keeps the scale, moves the minimum alone, and takes errors in the weights' own unit, where those of a
/// language model are too small to be shrunk at all. Here both move, and errors are counted in units of a block's own. A
/// solution reaches the format through fit and put: the grid that it means is what the block is fitted to.
/// </remarks>
public sealed class Hqq
{
    /// <summary>The name on the command line.</summary>
    public const string Word = "hqq";

    private const float Power = 0.7f, Growth = 1.01f;
    private const int Steps = 20;

    /// <summary>The weight of the quadratic term at first: what is below a block's mean error counts as none.</summary>
    private const float Sharpness = 1;

    private readonly Format _format;
    private readonly float[] _rounded, _grid, _scales, _offsets;

    /// <summary>Of the present rounding: the errors in units of the block's first, and |error|^(p - 1).</summary>
    private readonly float[] _errors, _powers;
    private readonly sbyte[] _codes;
    private readonly byte[] _trial;

    /// <param name="format">Bound to the row's length; one that <see cref="Suits"/>.</param>
    public Hqq(Format format)
    {
        _format = format;
        (_rounded, _grid, _codes) = (new float[format.BlockSize], new float[format.BlockSize], new sbyte[format.BlockSize]);
        (_scales, _offsets) = (new float[format.BlockSize / format.Group], new float[format.BlockSize / format.Group]);
        (_errors, _powers) = (new float[format.BlockSize], new float[format.BlockSize]);
        _trial = new byte[format.BlockBytes];
    }

    /// <summary>Whether a block has a scale and a minimum, or a zero point, to be solved.</summary>
    public static bool Suits(Format format) => format is { Family: not FormatFamily.Float, Group: > 0, HasOffsets: true, SharedBytes: 0 };

    /// <summary>Quantizes a row: to nearest, and from there as long as the norm falls.</summary>
    /// <param name="bytes">The row as it is stored.</param>
    public void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes)
    {
        _format.Encode(row, options, bytes);
        int size = _format.BlockSize;
        for (int b = 0, at = 0; at < row.Length; b++, at += size)
            Solve(row.Slice(at, size), options.Slice(at, size), bytes.Slice(b * _format.BlockBytes, _format.BlockBytes));
    }

    private void Solve(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block)
    {
        _format.Decode(block, _rounded);
        float unit = TensorPrimitives.Distance<float>(weights, _rounded) / MathF.Sqrt(weights.Length), sharpness = Sharpness;
        if (!(unit > 0)) return;
        float best = Norm(weights, unit);
        block.CopyTo(_trial);
        for (int step = 0; step < Steps; step++, sharpness *= Growth)
        {
            _format.Unpack(_trial, _codes, _scales, _offsets);
            for (int i = 0; i < weights.Length; i += _format.Group) SolveGroup(weights, i, unit, sharpness);
            _format.Fit(_grid, options, _trial);
            for (int i = 0; i < weights.Length; i++) _format.Put(_trial, i, weights.Slice(i, 1), _rounded.AsSpan(i, 1));
            float norm = Norm(weights, unit);
            if (!(norm < best)) return;
            best = norm;
            _trial.CopyTo(block);
        }
    }

    /// <summary>The line through a group's codes that lies best among its weights less their shrunken errors.</summary>
    private void SolveGroup(ReadOnlySpan<float> weights, int first, float unit, float sharpness)
    {
        int count = _format.Group;
        double codes = 0, squares = 0, targets = 0, products = 0;
        for (int i = first; i < first + count; i++)
        {
            // The proximal step of |e|^p.
            float shrunken = MathF.CopySign(MathF.Max(MathF.Abs(_errors[i]) - _powers[i] / sharpness, 0), _errors[i]);
            double target = weights[i] - unit * shrunken;
            codes += _codes[i];
            squares += _codes[i] * _codes[i];
            targets += target;
            products += _codes[i] * target;
        }
        double spread = squares - codes * codes / count;
        double scale = spread > 0 ? (products - codes * targets / count) / spread : _scales[first / count];
        double offset = (targets - scale * codes) / count;
        for (int i = first; i < first + count; i++) _grid[i] = (float)(offset + scale * _codes[i]);
    }

    /// <summary>The sum of |error|^p of the present rounding.</summary>
    private float Norm(ReadOnlySpan<float> weights, float unit)
    {
        const float Least = 1e-6f;
        TensorPrimitives.Subtract(weights, _rounded, _errors);
        TensorPrimitives.Divide(_errors, unit, _errors);
        TensorPrimitives.Abs<float>(_errors, _powers);
        TensorPrimitives.Max(_powers, Least, _powers);
        TensorPrimitives.Pow(_powers, Power - 1, _powers);
        float sum = 0;
        for (int i = 0; i < _errors.Length; i++) sum += MathF.Abs(_errors[i]) * _powers[i];
        return sum;
    }
}
