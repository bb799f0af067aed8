using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels;

/// <summary>Inputs of products in bfloat16, and the products that they should give.</summary>
internal static unsafe class BFloat16Products
{
    public static Activation NewInput(int tokens, int columns)
    {
        var x = new Activation();
        x.Resize(tokens, columns);
        var random = new Random(tokens);
        for (int t = 0; t < tokens; t++)
            foreach (ref float v in x.Row(t)) v = 3 * random.NextSingle() - 1;
        x.Changed();
        return x;
    }

    /// <summary>Against decode-and-multiply in double precision, of inputs that are rounded.</summary>
    public static void Check(Weight weight, Activation x, WorkerPool pool, float[] products, double weightError = 0)
    {
        float* rounded = x.Rounded(pool, InputRounding.BFloat16);
        var row = new float[weight.Columns];
        for (int r = 0; r < weight.Rows; r++)
        {
            weight.ReadRow(r, row);
            for (int t = 0; t < x.Tokens; t++)
            {
                double sum = 0, size = 0;
                for (int c = 0; c < row.Length; c++)
                {
                    double term = row[c] * (double)rounded[t * row.Length + c];
                    (sum, size) = (sum + term, size + Math.Abs(term));
                }
                Assert.Equal(sum, products[t * weight.Rows + r], (1e-6 + weightError) * size);
            }
        }
    }
}
