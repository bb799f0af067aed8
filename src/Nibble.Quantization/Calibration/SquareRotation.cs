using Nibble.Core.Formats;

namespace Nibble.Quantization.Calibration;

/// <summary>Rotates rows and columns of a matrix that pairs inputs with inputs.</summary>
internal static unsafe class SquareRotation
{
    /// <summary>M becomes R^T M R, in place.</summary>
    /// <param name="matrix">[columns, columns] of the rotation.</param>
    /// <param name="stride">Floats from a row to the next.</param>
    public static void Rotate(float* matrix, int stride, ColumnRotation rotation)
    {
        int n = rotation.Columns;
        for (int pass = 0; pass < 2; pass++)
        {
            for (int r = 0; r < n; r++) rotation.Rotate(new Span<float>(matrix + (nint)r * stride, n));
            // Transposed after each pass, it is turned on the other side next, and stands as it did at the end.
            for (int r = 0; r < n; r++)
                for (int c = 0; c < r; c++)
                    (matrix[(nint)r * stride + c], matrix[(nint)c * stride + r]) = (matrix[(nint)c * stride + r], matrix[(nint)r * stride + c]);
        }
    }
}
